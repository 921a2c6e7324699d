package apps

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestElectrumPort runs the shipped server configuration on a real nginx against the ways in which port 50001 behaves.
func TestElectrumPort(t *testing.T) {
	binary := findNginx(t)
	tests := []struct {
		name            string
		serve           func(net.Conn) // nil: nothing listens
		status          string
		connects, talks bool
	}{
		{"refused: the container does not run", nil, "502", false, false},
		{"closed: the forwarder accepts and hangs up", hangUp, "502", true, false},
		{"open: the server waits for a line", expectNoLine(t), "504", true, false},
		{"other: something that talks unasked", talk, "502", true, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			electrum := listen(t, test.serve)
			page := startNginx(t, binary, electrum)
			answer := getPort(t, page)
			if answer.Status != test.status || (answer.Connect != "-") != test.connects || (answer.Bytes != "0") != test.talks {
				t.Errorf("got %+v, want status %s, connected %t, talked %t", answer, test.status, test.connects, test.talks)
			}
		})
	}
}

// forwarding is the least time that the forwarder needs to find nobody behind the port; nginx notes a connection only
// when it lives a moment.
const forwarding = 20 * time.Millisecond

func hangUp(c net.Conn) {
	time.Sleep(forwarding)
	c.Close()
}

func talk(c net.Conn) {
	time.Sleep(forwarding)
	fmt.Fprint(c, "hello there\r\n")
	c.Close()
}

// expectNoLine waits as ElectrumX does, and fails when it is sent a line: ElectrumX would charge for one that is not JSON.
func expectNoLine(t *testing.T) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		got := make([]byte, 0, 512)
		buffer := make([]byte, 512)
		for {
			n, err := c.Read(buffer)
			got = append(got, buffer[:n]...)
			if err != nil {
				break
			}
		}
		if len(got) > 16 || strings.ContainsRune(string(got), '\n') {
			t.Errorf("the Electrum port was sent %q", got)
		}
	}
}

func listen(t *testing.T, serve func(net.Conn)) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ = net.SplitHostPort(l.Addr().String())
	if serve == nil {
		l.Close()
		return port
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return port
}

// startNginx serves the page of electrs-ui on a free port, with the Electrum port moved to electrum.
func startNginx(t *testing.T, binary, electrum string) (port string) {
	t.Helper()
	dir := t.TempDir()
	port = listen(t, nil)
	server := strings.NewReplacer(
		"listen 50002;", "listen 127.0.0.1:"+port+";",
		"listen [::]:50002;", "",
		"127.0.0.1:50001", "127.0.0.1:"+electrum,
	).Replace(read(t, "electrs-ui", "nginx/default.conf"))
	config := fmt.Sprintf("daemon off; master_process off; pid %[1]s/pid; error_log stderr error;\nevents {}\nhttp {\n"+
		"client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;\n%[2]s}\n",
		dir, server)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	nginx := exec.Command(binary, "-p", dir, "-e", "stderr", "-c", file)
	nginx.Stderr = t.Output()
	if err := nginx.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = nginx.Process.Kill()
		_ = nginx.Wait()
	})
	return port
}

type portAnswer struct{ Status, Connect, Bytes string }

// getPort asks until nginx listens, at most 5 s.
func getPort(t *testing.T, port string) portAnswer {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second}
	deadline := time.Now().Add(5 * time.Second)
	for {
		response, err := client.Get("http://127.0.0.1:" + port + "/electrum-port")
		if err != nil {
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
			continue
		}
		defer response.Body.Close()
		var answer portAnswer
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
}

func findNginx(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if found, err := exec.LookPath(name); err == nil {
			return found
		}
	}
	t.Skip("needs nginx: apt-get install nginx-light")
	return ""
}
