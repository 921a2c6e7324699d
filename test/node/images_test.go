package node_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/test/node"
	"git.tx1138.com/lfg2025/archy/test/node/registry"
)

func TestRegistryHoldsWhatAppsName(t *testing.T) {
	n := node.UpT(t, node.Options{})
	wanted, err := registry.FindWanted(apps.FS)
	if err != nil {
		t.Fatal(err)
	}
	if len(wanted) < 8 {
		t.Fatalf("apps/ names %d images only: %v", len(wanted), wanted)
	}
	for _, w := range wanted {
		n.MustUser(t, "podman", "pull", "-q", w.Ref)
		if n.Registry.Pulls(w.Ref) == 0 {
			t.Errorf("%s was pulled, and not from the registry", w.Ref)
		}
	}
}

func TestRegistryMisbehaves(t *testing.T) {
	n := node.UpT(t, node.Options{})
	ctx := within(t, time.Minute)
	pull := func(ctx context.Context) node.Result {
		return n.User(ctx, "podman", "pull", "-q", "--retry=0", mariadb)
	}

	n.Registry.SetFault(mariadb, registry.Fault{Status: 404})
	if res := pull(ctx); res.Code == 0 || !strings.Contains(res.Stderr, "manifest unknown") {
		t.Errorf("404: exit code %d, %s", res.Code, res.Stderr)
	}
	n.Registry.SetFault(mariadb, registry.Fault{Status: 500})
	if res := pull(ctx); res.Code == 0 || !strings.Contains(res.Stderr, "500") {
		t.Errorf("500: exit code %d, %s", res.Code, res.Stderr)
	}
	n.Registry.SetFault(mariadb, registry.Fault{Hang: true})
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if res := pull(short); res.Err == nil {
		t.Errorf("hang: the pull came back with %d", res.Code)
	}
	n.Registry.ClearFaults()
	before := n.Registry.Pulls(mariadb)
	if res := pull(ctx); res.Code != 0 {
		t.Errorf("after the faults: %v", res.Error())
	}
	if n.Registry.Pulls(mariadb) == before {
		t.Error("a pull was not counted")
	}
}

// TestUIPagesBuildAndServe builds each page from its real context, on the real nginx, without a network.
func TestUIPagesBuildAndServe(t *testing.T) {
	n := node.UpT(t, node.Options{})
	for id, port := range map[string]string{"lnd-ui": "8081", "electrs-ui": "50002"} {
		context, err := apps.Context(id)
		if err != nil {
			t.Fatal(err)
		}
		dir := "/var/tmp/" + id
		if err := n.CopyFS(dir, context); err != nil {
			t.Fatal(err)
		}
		n.MustUser(t, "podman", "build", "-q", "-t", "localhost/"+id+":test", dir)
		n.MustUser(t, "podman", "run", "-d", "--name", id, "--network", "host", "--cap-drop", "all", "--cap-add", "CHOWN",
			"--cap-add", "DAC_OVERRIDE", "--cap-add", "SETGID", "--cap-add", "SETUID", "localhost/"+id+":test")
		eventually(t, id+" serves its page", func() bool {
			res, err := n.HTTP().Get("http://127.0.0.1:" + port + "/")
			if err != nil {
				return false
			}
			res.Body.Close()
			return res.StatusCode == 200
		})
	}
}

// TestAStaleRPCPasswordIsNoticed: lnd's stand-in serves while bitcoind takes its password, and only then.
func TestAStaleRPCPasswordIsNoticed(t *testing.T) {
	n := node.UpT(t, node.Options{})
	conf := func(pass string) []byte {
		return []byte("[Application Options]\nrpclisten=0.0.0.0:10009\nrestlisten=0.0.0.0:8080\n" +
			"bitcoind.rpchost=bitcoin-knots:8332\nbitcoind.rpcuser=archipelago\nbitcoind.rpcpass=" + pass + "\n")
	}
	write := func(name string, text []byte) {
		t.Helper()
		if err := n.WriteFile(data+name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("/bitcoin/bitcoin.conf", []byte("server=1\nrpcallowip=10.89.0.0/16\n"+rpcauth("right")))
	write("/lnd/lnd.conf", conf("wrong"))
	n.MustUser(t, "podman", "network", "create", "--subnet", "10.89.0.0/24", "archy-net")
	n.MustUser(t, "podman", "run", "-d", "--name", "bitcoin-knots", "--network", "archy-net", "-v", data+"/bitcoin:/data/.bitcoin",
		"ghcr.io/retropex/bitcoin:v28.1", "bitcoind", "-datadir=/data/.bitcoin")
	lnd := []string{"podman", "run", "-d", "--replace", "--name", "lnd", "--network", "archy-net", "-v", data + "/lnd:/root/.lnd",
		"docker.io/lightninglabs/lnd:v0.18.4-beta", "--lnddir=/root/.lnd"}
	n.MustUser(t, lnd...)
	state := func() node.Result {
		return n.User(context.Background(), "podman", "exec", "lnd", "lncli", "--rpcserver=127.0.0.1:10009", "state")
	}
	eventually(t, "lnd says what is wrong", func() bool {
		res := n.User(context.Background(), "podman", "logs", "lnd")
		return strings.Contains(res.Stderr+res.Stdout, "401 Unauthorized")
	})
	if res := state(); res.Code == 0 {
		t.Errorf("lnd answers with a wrong password: %s", res.Stdout)
	}
	write("/lnd/lnd.conf", conf("right"))
	n.MustUser(t, lnd...)
	eventually(t, "lnd answers", func() bool { return state().Code == 0 })
	var got struct{ State string }
	if err := json.Unmarshal([]byte(state().Stdout), &got); err != nil || got.State != "NON_EXISTING" {
		t.Errorf("the wallet's state is %q (%v)", got.State, err)
	}
}

// rpcauth is a line for bitcoin.conf that lets archipelago in with a password.
func rpcauth(password string) string {
	const salt = "00112233445566778899aabbccddeeff"
	mac := hmac.New(sha256.New, []byte(salt))
	mac.Write([]byte(password))
	return fmt.Sprintf("rpcauth=archipelago:%s$%x\n", salt, mac.Sum(nil))
}
