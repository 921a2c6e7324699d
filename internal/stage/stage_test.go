package stage

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

const password = "MARKED-PASSWORD"

// port is where a test server listens.
func port(t *testing.T, address string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(strings.TrimPrefix(strings.TrimPrefix(address, "http://"), "https://"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func prober() Prober {
	return Prober{Password: func() (secrets.Value, error) { return secrets.New(password), nil }}
}

func TestBitcoin(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   State
	}{
		{"ready", 200, `{"result":{"blocks":800000,"headers":800000,"verificationprogress":0.99999,"initialblockdownload":false}}`, State{"ready", true}},
		{"one block behind", 200, `{"result":{"blocks":799999,"headers":800000}}`, State{"ready", true}},
		{"first sync", 200, `{"result":{"blocks":350000,"headers":800000,"verificationprogress":0.431,"initialblockdownload":true}}`, State{"syncing 43.1 %", true}},
		{"catching up", 200, `{"result":{"blocks":799000,"headers":800000,"verificationprogress":0.9987}}`, State{"syncing 99.9 %", true}},
		{"warming up", 500, `{"result":null,"error":{"code":-28,"message":"Loading block index..."}}`, State{"warming up", false}},
		{"another error", 500, `{"error":{"code":-1,"message":"x"}}`, State{"RPC error -1", false}},
		{"wrong password", 401, ``, State{"refuses archy's password", false}},
		{"forbidden", 403, ``, State{"refuses archy's password", false}},
		{"garbage", 200, `<html>`, State{"not answering", false}},
		{"empty", 200, ``, State{"not answering", false}},
		{"endless", 200, `{"result":{"x":"` + strings.Repeat("a", 2<<20), State{"not answering", false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if user, pass, _ := r.BasicAuth(); user != secrets.RPCUser || pass != password {
					t.Errorf("asked as %q", user)
				}
				if body, _ := io.ReadAll(r.Body); !strings.Contains(string(body), `"getblockchaininfo"`) || r.Method != http.MethodPost {
					t.Errorf("asked %s %s", r.Method, body)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			defer s.Close()
			for _, app := range []string{"bitcoin-knots", "bitcoin-core"} {
				if got := prober().Probe(t.Context(), app, map[int]int{8332: port(t, s.URL)}); got != c.want {
					t.Errorf("%s: %+v, want %+v", app, got, c.want)
				}
			}
		})
	}
}

func TestBitcoinWithoutAPassword(t *testing.T) {
	p := Prober{Password: func() (secrets.Value, error) { return secrets.Value{}, errors.New("missing") }}
	if got := p.Probe(t.Context(), "bitcoin-knots", nil); got != (State{Text: "no RPC password"}) {
		t.Errorf("%+v", got)
	}
}

func TestLnd(t *testing.T) {
	for body, want := range map[string]State{
		`{"state":"NON_EXISTING"}`: {"needs wallet", false}, `{"state":"LOCKED"}`: {"locked", false}, `{"state":"UNLOCKED"}`: {"starting", false},
		`{"state":"WAITING_TO_START"}`: {"starting", false}, `{"state":"RPC_ACTIVE"}`: {"ready", true}, `{"state":"SERVER_ACTIVE"}`: {"ready", true},
		`{}`: {"starting", false}, `not json`: {"not answering", false},
	} {
		t.Run(body, func(t *testing.T) {
			s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v1/state" || r.Header.Get("Authorization")+r.Header.Get("Grpc-Metadata-Macaroon") != "" {
					t.Errorf("asked %s with %v", r.URL, r.Header)
				}
				_, _ = io.WriteString(w, body)
			}))
			defer s.Close()
			if got := prober().Probe(t.Context(), "lnd", map[int]int{8080: port(t, s.URL)}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

// line is a server that answers each connection in its own way.
func line(t *testing.T, answer func(net.Conn)) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				answer(conn)
			}()
		}
	}()
	return port(t, l.Addr().String())
}

func TestElectrumx(t *testing.T) {
	block := make(chan struct{})
	t.Cleanup(func() { close(block) })
	for _, c := range []struct {
		name   string
		answer func(net.Conn)
		want   State
	}{
		{"answers", func(c net.Conn) {
			buf := make([]byte, 256)
			n, _ := c.Read(buf)
			if !strings.Contains(string(buf[:n]), "server.version") {
				t.Errorf("asked %q", buf[:n])
			}
			_, _ = io.WriteString(c, `{"jsonrpc":"2.0","result":["ElectrumX 1.16.0","1.4"],"id":0}`+"\n")
		}, State{"ready", true}},
		{"open and busy", func(net.Conn) { <-block }, State{"ready", true}},
		{"the port forwarder hangs up", func(net.Conn) {}, State{"indexing", false}},
		{"garbage", func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400\n") }, State{"indexing", false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := prober().Probe(t.Context(), "electrumx", map[int]int{50001: line(t, c.answer)}); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// free is a port on which nothing listens.
func free(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return port(t, l.Addr().String())
}

func TestNothingListens(t *testing.T) {
	p := free(t)
	ports := map[int]int{8332: p, 8080: p, 50001: p}
	for app, want := range map[string]State{"bitcoin-knots": {"not answering", false}, "lnd": {"not answering", false}, "electrumx": {"indexing", false}, "grafana": {"", true}} {
		if got := prober().Probe(t.Context(), app, ports); got != want {
			t.Errorf("%s: %+v, want %+v", app, got, want)
		}
	}
}

// TestProbesEndWithTheirContext: an app that takes the connection and says nothing holds nobody up.
func TestProbesEndWithTheirContext(t *testing.T) {
	block := make(chan struct{})
	t.Cleanup(func() { close(block) })
	p := line(t, func(net.Conn) { <-block })
	for _, app := range []string{"bitcoin-knots", "lnd"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if got := prober().Probe(ctx, app, map[int]int{8332: p, 8080: p}); got.Ready {
			t.Errorf("%s: %+v", app, got)
		}
		cancel()
	}
}

func TestPublishedPort(t *testing.T) {
	for _, c := range []struct {
		host  string
		ports map[int]int
		want  string
	}{
		{"", nil, "127.0.0.1:8080"}, {"", map[int]int{8080: 18080}, "127.0.0.1:18080"}, {"192.0.2.7", map[int]int{9: 10}, "192.0.2.7:8080"}, {"::1", nil, "[::1]:8080"},
	} {
		if got := (Prober{Host: c.host}).published(c.ports, 8080); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func TestAskHost(t *testing.T) {
	mux := http.NewServeMux()
	for path, status := range map[string]int{"/ok": 200, "/login": 302, "/refused": 401, "/broken": 502} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if status == 302 {
				w.Header().Set("Location", "http://192.0.2.1/elsewhere")
			}
			w.WriteHeader(status)
		})
	}
	plain, tls := httptest.NewServer(mux), httptest.NewTLSServer(mux)
	defer plain.Close()
	defer tls.Close()
	for _, c := range []struct {
		url      string
		accepted []int
		want     bool
	}{
		{plain.URL + "/ok", nil, true}, {tls.URL + "/ok", nil, true}, {plain.URL + "/login", nil, true}, {plain.URL + "/refused", nil, false},
		{plain.URL + "/refused", []int{200, 401}, true}, {plain.URL + "/ok", []int{401}, false}, {plain.URL + "/broken", nil, false},
		{"http://127.0.0.1:" + strconv.Itoa(free(t)) + "/", nil, false}, {"::no url::", nil, false},
	} {
		if got := AskHost(t.Context(), c.url, c.accepted); got != c.want {
			t.Errorf("%s with %v: %v, want %v", c.url, c.accepted, got, c.want)
		}
	}
}
