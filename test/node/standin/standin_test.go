package main

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestToolsReallyCheck: each health tool succeeds while somebody listens, and only then.
func TestToolsReallyCheck(t *testing.T) {
	srv := httptest.NewServer(page("x"))
	host, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	socket := "import socket;socket.create_connection((socket.inet_ntoa(bytes([127,0,0,1]))," + port + "),5)"
	t.Setenv("STANDIN_PORTS", "8177/udp,"+port)
	tools := map[string]func() int{
		"bash":          func() int { return bash([]string{"-c", "exec 3<>/dev/tcp/" + host + "/" + port}) },
		"python3":       func() int { return python3([]string{"-c", socket}) },
		"mariadb-admin": func() int { return roles["mariadb-admin"]([]string{"ping", "-h", host, "-P", port}) },
		"pg_isready":    func() int { return roles["pg_isready"]([]string{"-h", host, "-p", port, "-U", "x"}) },
		"redis-cli":     func() int { return roles["redis-cli"]([]string{"-p", port, "ping"}) },
		"curl":          func() int { return curl([]string{"-fsS", "-o", "/dev/null", "-m", "5", srv.URL + "/"}) },
		"unknown":       func() int { return role("photos-health")(nil) },
	}
	for name, tool := range tools {
		if code := tool(); code != 0 {
			t.Errorf("%s: exit code %d while the server answers", name, code)
		}
	}
	srv.Close()
	for name, tool := range tools {
		if code := tool(); code == 0 {
			t.Errorf("%s: exit code 0 while nobody answers", name)
		}
	}
}

func TestBitcoinRPC(t *testing.T) {
	dir := t.TempDir()
	mac := hmac.New(sha256.New, []byte("00ff"))
	mac.Write([]byte("right"))
	b := &bitcoin{dir: dir, cookie: "__cookie__:c", started: time.Now(), conf: map[string][]string{
		"rpcauth": {"other:00$00", "archipelago:00ff$" + hex.EncodeToString(mac.Sum(nil))},
		"prune":   {"550"},
	}}
	b.wallets.open(dir)
	srv := httptest.NewServer(b)
	defer srv.Close()
	addr := srv.Listener.Addr().String()
	call := func(user, pass, method string, params ...any) string {
		t.Helper()
		result, err := rpcCall(context.Background(), addr, user, pass, method, params...)
		if err != nil {
			return err.Error()
		}
		return strings.TrimSpace(string(result))
	}
	const wrong = "bitcoind: 401 Unauthorized: wrong user or password"
	for _, login := range [][2]string{{"archipelago", "wrong"}, {"other", "right"}, {"", ""}, {"__cookie__", "x"}} {
		if got := call(login[0], login[1], "uptime"); got != wrong {
			t.Errorf("login %s: %s", login, got)
		}
	}
	if got := call("__cookie__", "c", "getblockcount"); got != "840000" {
		t.Errorf("getblockcount: %s", got)
	}
	right := func(method string, params ...any) string {
		t.Helper()
		return call("archipelago", "right", method, params...)
	}
	if got := right("getblockchaininfo"); !strings.Contains(got, `"pruned":true`) {
		t.Errorf("prune=550 does not show: %s", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "standin.chain"), []byte(`{"blocks":7,"initialblockdownload":true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := right("getblockchaininfo"); !strings.Contains(got, `"blocks":7`) || !strings.Contains(got, `"initialblockdownload":true`) {
		t.Errorf("standin.chain does not show: %s", got)
	}
	for _, step := range []struct{ method, arg, want string }{
		{"listwallets", "", "[]"},
		{"loadwallet", "archipelago", "error code: -18: Wallet file verification failed. Failed to load database path. Path does not exist."},
		{"createwallet", "archipelago", `{"name":"archipelago"}`},
		{"loadwallet", "archipelago", `error code: -35: Wallet "archipelago" is already loaded.`},
		{"listwallets", "", `["archipelago"]`},
		{"nonsense", "", "error code: -32601: Method not found"},
	} {
		if got := right(step.method, step.arg); got != step.want {
			t.Errorf("%s %s: %s", step.method, step.arg, got)
		}
	}
	t.Setenv("STANDIN_WARMUP", "1")
	if got := right("getblockcount"); !strings.Contains(got, "-28") {
		t.Errorf("warming up: %s", got)
	}
}

func TestRPCAllowIP(t *testing.T) {
	b := &bitcoin{conf: map[string][]string{"rpcallowip": {"10.89.0.0/16", "192.0.2.7"}}}
	for remote, want := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "10.89.0.5:1": true, "192.0.2.7:1": true, "192.0.2.8:1": false, "10.90.0.1:1": false,
	} {
		if got := b.allowed(remote); got != want {
			t.Errorf("%s allowed: %v", remote, got)
		}
	}
}

// TestElectrumAnswers: a client of the Electrum protocol gets the server's version on one line, for each question.
func TestElectrumAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go electrum(l)
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	lines := bufio.NewReader(conn)
	for _, id := range []string{"0", `"b"`} {
		if _, err := conn.Write([]byte(`{"id":` + id + `,"method":"server.version","params":["x","1.4"]}` + "\n")); err != nil {
			t.Fatal(err)
		}
		line, err := lines.ReadString('\n')
		if want := `"id":` + id + "}\n"; err != nil || !strings.HasSuffix(line, want) || !strings.Contains(line, `"1.4"`) {
			t.Errorf("answer %q (%v), want one with protocol 1.4 that ends %q", line, err, want)
		}
	}
}

func TestStoreNoticesAnUncleanEnd(t *testing.T) {
	dir := t.TempDir()
	open := func() *store {
		t.Helper()
		s, err := openStore(dir)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := open()
	first.beat()
	born, _ := os.ReadFile(first.path("born"))
	first.close()
	second := open()
	if _, err := os.Stat(second.path("unclean")); err == nil {
		t.Error("an orderly stop counts as unclean")
	}
	second.beat()
	third := open() // second was never closed
	if again, _ := os.ReadFile(third.path("born")); string(again) != string(born) || len(born) < 16 {
		t.Errorf("born changed from %q to %q", born, again)
	}
	if third.number("unclean") != 1 || third.number("heartbeat") != 2 {
		t.Errorf("unclean %d, heartbeat %d; want 1 and 2", third.number("unclean"), third.number("heartbeat"))
	}
}

func TestFaultsFromEnvironmentAndFile(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("STANDIN_SLOW", "3s")
	t.Setenv("STANDIN_FAIL", "exit:3")
	if f := readFaults(dir); f.slow != 3*time.Second || f.fail != 3 || f.unhealthy {
		t.Errorf("environment: %+v", f)
	}
	file := "STANDIN_FAIL=exit:0\nSTANDIN_UNHEALTHY=1\nSTANDIN_STOP=2\n"
	if err := os.WriteFile(filepath.Join(dir, faultFile), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	if f := readFaults(dir); f.fail != 0 || !f.unhealthy || f.stop != 2*time.Second {
		t.Errorf("the file over the environment: %+v", f)
	}
}

func TestLNDWallet(t *testing.T) {
	dir := t.TempDir()
	w := &wallet{dir: filepath.Join(dir, "mainnet")}
	if err := w.create("password1", seed()); err != nil || w.state() != "SERVER_ACTIVE" {
		t.Fatalf("create: %v, state %s", err, w.state())
	}
	again := &wallet{dir: w.dir}
	if again.state() != "LOCKED" {
		t.Errorf("after a start: %s", again.state())
	}
	if err := again.unlock("password2"); err == nil || again.state() != "LOCKED" {
		t.Errorf("a wrong password: %v, state %s", err, again.state())
	}
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte("password1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := again.openWithFile(file, false); err != nil || again.state() != "SERVER_ACTIVE" {
		t.Errorf("the password file: %v, state %s", err, again.state())
	}
}
