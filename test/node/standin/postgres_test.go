package main

import (
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// TestDatabasesAreMadeOnce: what a hook asks first and makes then is there from then on.
func TestDatabasesAreMadeOnce(t *testing.T) {
	srv := httptest.NewServer(page("x"))
	defer srv.Close()
	_, port, _ := strings.Cut(srv.Listener.Addr().String(), ":")
	for name, value := range map[string]string{"PGPORT": port, "STANDIN_DATA": t.TempDir(), "POSTGRES_USER": "btcpay", "POSTGRES_DB": "btcpay"} {
		t.Setenv(name, value)
	}
	ask := func(user, database string) (answer string, code int) {
		out, err := os.CreateTemp(t.TempDir(), "out")
		if err != nil {
			t.Fatal(err)
		}
		stdout := os.Stdout
		os.Stdout = out
		code = psql([]string{"-U", user, "-d", database, "-tAc", "SELECT 1 FROM pg_database WHERE datname='nbxplorer'"})
		os.Stdout = stdout
		text, _ := os.ReadFile(out.Name())
		return string(text), code
	}
	if answer, code := ask("btcpay", "btcpay"); answer != "" || code != 0 {
		t.Errorf("before: %q, %d", answer, code)
	}
	makeIt := []string{"-U", "btcpay", "-O", "btcpay", "nbxplorer"}
	if first, second := createdb(makeIt), createdb(makeIt); first != 0 || second != 1 {
		t.Errorf("createdb ends with %d, then with %d", first, second)
	}
	if answer, code := ask("btcpay", "nbxplorer"); answer != "1\n" || code != 0 {
		t.Errorf("after: %q, %d", answer, code)
	}
	for _, wrong := range [][2]string{{"root", "btcpay"}, {"btcpay", "other"}} {
		if _, code := ask(wrong[0], wrong[1]); code != 2 {
			t.Errorf("as %s in %s: exit code %d", wrong[0], wrong[1], code)
		}
	}
	srv.Close()
	if _, code := ask("btcpay", "btcpay"); code != 2 {
		t.Errorf("nobody answers: exit code %d", code)
	}
}
