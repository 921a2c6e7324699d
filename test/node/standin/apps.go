package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// electrumx wants bitcoind with the password in DAEMON_URL, then opens what SERVICES names.
func electrumx([]string) int {
	daemon, err := url.Parse(os.Getenv("DAEMON_URL"))
	if err != nil || daemon.Host == "" {
		say("electrumx: ERROR: environment variable DAEMON_URL must be a URL")
		return 1
	}
	pass, _ := daemon.User.Password()
	srv := &server{
		name: "electrumx", data: env("DB_DIRECTORY", "/data"),
		ready: reaches(daemon.Host, daemon.User.Username(), pass),
	}
	for _, service := range strings.Split(env("SERVICES", "tcp://:50001,rpc://127.0.0.1:8000"), ",") {
		u, err := url.Parse(service)
		if err != nil {
			say("electrumx: ERROR: SERVICES: not a URL: %s", service)
			return 1
		}
		srv.ports = append(srv.ports, tcp(u.Host, electrum))
	}
	return srv.run()
}

// electrum answers every line as a server of the Electrum protocol answers server.version.
func electrum(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			for asked := json.NewDecoder(c); ; {
				var request struct {
					ID json.RawMessage `json:"id"`
				}
				if asked.Decode(&request) != nil {
					return
				}
				fmt.Fprintf(c, `{"jsonrpc":"2.0","result":["ElectrumX 1.16.0","1.4"],"id":%s}`+"\n", request.ID)
			}
		}()
	}
}

// mempoolAPI is mempool's backend: without its database it ends, without bitcoind it waits.
func mempoolAPI([]string) int {
	rpc := reaches(net.JoinHostPort(os.Getenv("CORE_RPC_HOST"), env("CORE_RPC_PORT", "8332")),
		os.Getenv("CORE_RPC_USERNAME"), os.Getenv("CORE_RPC_PASSWORD"))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := databaseLogin(ctx, net.JoinHostPort(os.Getenv("DATABASE_HOST"), env("DATABASE_PORT", "3306")),
		os.Getenv("DATABASE_USERNAME"), os.Getenv("DATABASE_PASSWORD"))
	if err != nil {
		say("mempool-api: could not connect to database: %v", err)
		return 1
	}
	info := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"hostname":"mempool-api","version":"3.0.0","gitCommit":"stand-in","lightning":false}`)
	}
	srv := &server{
		name: "mempool-api", data: env("MEMPOOL_CACHE_DIR", "/backend/cache"), ready: rpc,
		ports: []port{tcp(":"+env("MEMPOOL_HTTP_PORT", "8999"), serveHTTP(http.HandlerFunc(info)))},
	}
	return srv.run()
}

// waitForIt is wait-for-it.sh: HOST:PORT [--timeout=N] [--strict] -- COMMAND...
func waitForIt(args []string) int {
	timeout, addr, command := 15*time.Second, "", []string(nil)
	for i, a := range args {
		switch {
		case a == "--":
			command = args[i+1:]
		case strings.HasPrefix(a, "--timeout="):
			timeout = duration(strings.TrimPrefix(a, "--timeout="))
		case !strings.HasPrefix(a, "-") && addr == "":
			addr = a
		}
		if command != nil {
			break
		}
	}
	for start := time.Now(); !answers(addr, 2*time.Second); time.Sleep(200 * time.Millisecond) {
		if time.Since(start) > timeout {
			say("wait-for-it.sh: timeout occurred after waiting %s for %s", timeout, addr)
			return 124
		}
	}
	if len(command) == 0 {
		return 0
	}
	err := syscall.Exec(command[0], command, os.Environ())
	say("wait-for-it.sh: %s: %v", command[0], err)
	return 127
}

// mempoolWeb is mempool's frontend, an nginx: it resolves its backend once, at start, and ends when it cannot.
func mempoolWeb([]string) int {
	host := os.Getenv("BACKEND_MAINNET_HTTP_HOST")
	addrs, err := net.LookupHost(host)
	if err != nil {
		say("nginx: [emerg] host not found in upstream %q", host)
		return 1
	}
	backend := &url.URL{Scheme: "http", Host: net.JoinHostPort(addrs[0], env("BACKEND_MAINNET_HTTP_PORT", "8999"))}
	mux := http.NewServeMux()
	mux.Handle("/api/", httputil.NewSingleHostReverseProxy(backend))
	mux.HandleFunc("/", page("mempool"))
	srv := &server{name: "mempool", ports: []port{tcp(":"+env("FRONTEND_HTTP_PORT", "8080"), serveHTTP(mux))}}
	return srv.run()
}

// filebrowser makes its database with the password that it is given then, and never looks at it again.
func filebrowser([]string) int {
	database := env("FB_DATABASE", "/database.db")
	srv := &server{name: "filebrowser", data: filepath.Dir(database)}
	if _, err := os.Stat(database); err != nil && readFaults(srv.data).fail == 0 {
		text := env("FB_USERNAME", "admin") + ":" + digest(os.Getenv("FB_PASSWORD")) + "\n"
		if err := os.WriteFile(database, []byte(text), 0o640); err != nil {
			say("filebrowser: %v", err)
			return 1
		}
	}
	if _, err := os.Stat(env("FB_ROOT", "/srv")); err != nil {
		say("filebrowser: %v", err)
		return 1
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, `{"status":"OK"}`) })
	mux.HandleFunc("/", page("File Browser"))
	srv.ports = []port{tcp(env("FB_ADDRESS", "")+":"+env("FB_PORT", "80"), serveHTTP(mux))}
	return srv.run()
}

// generic is a server of which nothing is known but its ports (STANDIN_PORTS=80,8177/udp) and where its data is
// (STANDIN_DATA, which may be absent in the container).
func generic([]string) int {
	srv := &server{name: env("STANDIN_NAME", "server")}
	if dir := os.Getenv("STANDIN_DATA"); dir != "" && writable(dir) {
		srv.data = dir
	}
	for _, text := range strings.Split(os.Getenv("STANDIN_PORTS"), ",") {
		number, network, _ := strings.Cut(text, "/")
		switch {
		case number == "":
		case network == "udp":
			srv.ports = append(srv.ports, port{network: "udp", addr: ":" + number})
		default:
			srv.ports = append(srv.ports, tcp(":"+number, serveHTTP(page(srv.name))))
		}
	}
	return srv.run()
}

func writable(dir string) bool {
	f, err := os.CreateTemp(dir, ".standin-")
	if err != nil {
		return false
	}
	return errors.Join(f.Close(), os.Remove(f.Name())) == nil
}

func page(title string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "<!doctype html><title>%s</title><p>stand-in for %s\n", title, title)
	}
}
