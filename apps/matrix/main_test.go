package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// TestPageIsCurrent: the page says what the manifests say now.
func TestPageIsCurrent(t *testing.T) {
	var want bytes.Buffer
	if err := write(&want); err != nil {
		t.Fatal(err)
	}
	is, err := os.ReadFile("../../docs/apps.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(is, want.Bytes()) {
		t.Error("docs/apps.md is not what the manifests say: go generate ./apps")
	}
}

// TestMatrixSaysWhatTheTableSays, at a few places of each table that a reader relies on.
func TestMatrixSaysWhatTheTableSays(t *testing.T) {
	var page bytes.Buffer
	if err := write(&page); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"| lnd | `lnd` | 2 | `docker.io/lightninglabs/lnd:v0.18.4-beta` | core | optional | bitcoin-knots or bitcoin-core (answers) |",
		"| bitcoin-ui | `archy-bitcoin-ui` | 4 | `localhost/archy-bitcoin-ui`, built on the node | core | follows bitcoin-knots | bitcoin-knots or bitcoin-core (started) |",
		"| bitcoin-knots | archy-net | `8332:8332` C, `8333:8333` P, `28332:28332` C, `28333:28333` C |",
		"| mempool-api | archy-net | `8999:8999` H |",
		"| btcpay-server | `D/btcpay` → `/datadir` | `1000:1000` | `D/nbxplorer` → `/nbxplorer` (ro) |",
		"| jellyfin | 2 GiB | all but one | 0:0 | DAC_OVERRIDE | writable | 30 |",
		"| immich | `immich-db-password` | – | – |",
		"| fedimint-clientd | it runs for 5 s | – | – | – | – |",
	} {
		if !strings.Contains(page.String(), line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
}
