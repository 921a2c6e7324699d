package podmantest

import "testing"

func TestFakeKeepsContract(t *testing.T) {
	Contract(t, NewFake)
}
