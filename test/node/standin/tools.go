package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// answers tells whether somebody accepts connections at addr.
func answers(addr string, timeout time.Duration) bool {
	c, err := net.DialTimeout("tcp", addr, timeout)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func connect(addr string) int {
	if !answers(addr, 5*time.Second) {
		say("cannot connect to %s", addr)
		return 1
	}
	return 0
}

// tcpTool is a tool that succeeds when the server of -h HOST [-p PORT] accepts a connection, whatever the login.
func tcpTool(port string) func([]string) int {
	return func(args []string) int {
		host, port := "127.0.0.1", port
		for i := 0; i+1 < len(args); i++ {
			switch args[i] {
			case "-h":
				host = args[i+1]
			case "-p", "-P":
				port = args[i+1]
			}
		}
		return connect(net.JoinHostPort(host, port))
	}
}

// healthcheck is any tool of an image that nothing is known of: the first TCP port must accept.
func healthcheck([]string) int {
	for _, text := range strings.Split(os.Getenv("STANDIN_PORTS"), ",") {
		if text != "" && !strings.Contains(text, "/") {
			return connect("127.0.0.1:" + text)
		}
	}
	return 0
}

var devTCP = regexp.MustCompile(`^exec 3<>/dev/tcp/([^/\s]+)/([0-9]+)$`)

// bash knows `bash -c 'exec 3<>/dev/tcp/HOST/PORT'`; anything else goes to sh.
func bash(args []string) int {
	if len(args) == 2 && args[0] == "-c" {
		if m := devTCP.FindStringSubmatch(strings.TrimSpace(args[1])); m != nil {
			return connect(net.JoinHostPort(m[1], m[2]))
		}
	}
	err := syscall.Exec("/bin/sh", append([]string{"sh"}, args...), os.Environ())
	say("bash: %v", err)
	return 127
}

var createConnection = regexp.MustCompile(`create_connection\(\(.*?([0-9]+)\s*,\s*([0-9]+)\s*,\s*([0-9]+)\s*,\s*([0-9]+)\]\)\)\s*,\s*([0-9]+)`)

// python3 knows one program: a socket.create_connection to inet_ntoa(bytes([a,b,c,d])).
func python3(args []string) int {
	if len(args) == 2 && args[0] == "-c" {
		if m := createConnection.FindStringSubmatch(args[1]); m != nil {
			return connect(net.JoinHostPort(strings.Join(m[1:5], "."), m[5]))
		}
	}
	say("python3: this stand-in cannot run %q", args)
	return 2
}

// curl knows -f, -s, -S, -k, -o FILE, -m SECONDS and one URL.
func curl(args []string) int {
	timeout, fail, insecure, target, out := time.Minute, false, false, "", io.Writer(os.Stdout)
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case !strings.HasPrefix(a, "-"):
			target = a
			continue
		case strings.HasSuffix(a, "m") && i+1 < len(args):
			i++
			timeout = duration(args[i])
		case strings.HasSuffix(a, "o") && i+1 < len(args):
			i++
			out = io.Discard
		}
		fail = fail || strings.Contains(a, "f")
		insecure = insecure || strings.Contains(a, "k")
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if !strings.Contains(target, "://") {
		target = "http://" + target
	}
	code := get(ctx, target, out, insecure)
	if code == 22 && !fail {
		return 0
	}
	return code
}

// get fetches a URL with curl's exit codes: 7 no connection, 22 an HTTP error.
func get(ctx context.Context, target string, out io.Writer, insecure bool) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		say("error: %v", err)
		return 3
	}
	// the certificate is the server's own, and this only asks whether it answers
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: insecure}}}
	res, err := client.Do(req)
	if err != nil {
		say("error: %v", err)
		return 7
	}
	defer res.Body.Close()
	_, _ = io.Copy(out, res.Body)
	if res.StatusCode >= 400 {
		say("error: %s", res.Status)
		return 22
	}
	return 0
}
