package podmantest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
)

// session is one command in a container.
type session struct {
	container string
	argv      []string
	code      int
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, handle := range map[string]http.HandlerFunc{
		"GET /_ping":   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "OK") },
		"GET /version": func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]string{"Version": "5.4.2"}) },
		"GET /info":    s.info,

		"GET /containers/json":               s.list,
		"GET /containers/{name}/json":        s.inspect,
		"GET /containers/{name}/logs":        s.readLogs,
		"GET /containers/{name}/healthcheck": s.healthcheck,
		"POST /containers/{name}/stop":       s.stop,
		"POST /containers/{name}/unpause":    s.unpause,
		"POST /containers/{name}/rename":     s.rename,
		"POST /containers/{name}/update":     s.update,
		"POST /containers/{name}/exec":       s.createExec,
		"DELETE /containers/{name}":          s.remove,
		"POST /exec/{id}/start":              s.startExec,
		"GET /exec/{id}/json":                s.inspectExec,
		"POST /exec/{id}/remove":             func(w http.ResponseWriter, _ *http.Request) {},

		"GET /images/json":        s.listImages,
		"GET /images/{name}/json": s.inspectImage,
		"POST /images/{name}/tag": s.tag,
		"DELETE /images/{name}":   s.removeImage,
		"POST /images/pull":       s.pull,
		"POST /images/load":       s.load,
		"POST /build":             s.build,

		"GET /secrets/json":       s.listSecrets,
		"POST /secrets/create":    s.createSecret,
		"DELETE /secrets/{name}":  s.removeSecret,
		"GET /networks/json":      s.listNetworks,
		"POST /networks/create":   s.createNetwork,
		"DELETE /networks/{name}": s.removeNetwork,
	} {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" /{version}/libpod"+path, handle)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Libpod-API-Version", "5.4.2")
		mux.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// refuse answers as podman does when something is wrong.
func refuse(w http.ResponseWriter, status int, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"cause": text, "message": text, "response": status})
}

// with runs act on the container named in the path, with the lock held.
func (s *Server) with(w http.ResponseWriter, r *http.Request, act func(c *podman.Inspect)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.PathValue("name")
	c := s.find(name)
	if c == nil {
		refuse(w, http.StatusNotFound, "no container with name or ID %q found: no such container", name)
		return
	}
	act(c)
}

func (s *Server) info(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{
		"host": map[string]any{
			"cgroupControllers": []string{"cpu", "memory", "pids"}, "networkBackend": "netavark",
			"security": map[string]any{"rootless": true},
		},
		"store":   map[string]any{"graphRoot": "/home/archipelago/.local/share/containers/storage", "runRoot": "/run/user/1000/containers"},
		"version": map[string]any{"Version": "5.4.2"},
	})
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := []any{}
	for _, c := range s.containers {
		if r.URL.Query().Get("all") == "true" || c.State.Running {
			lines = append(lines, listLine(c))
		}
	}
	answer(w, lines)
}

func (s *Server) inspect(w http.ResponseWriter, r *http.Request) {
	s.with(w, r, func(c *podman.Inspect) { answer(w, inspectData(c)) })
}

func (s *Server) stop(w http.ResponseWriter, r *http.Request) {
	if s.OnStop != nil {
		grace, _ := strconv.Atoi(r.URL.Query().Get("timeout"))
		if err := s.OnStop(r.PathValue("name"), time.Duration(grace)*time.Second); err != nil {
			refuse(w, http.StatusInternalServerError, "%s", err)
			return
		}
	}
	s.with(w, r, func(c *podman.Inspect) {
		if c.State.Status == podman.StateExited || c.State.Status == podman.StateStopped {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if c.State.Running {
			s.end(c, 0)
			s.autoRemove(c)
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// autoRemove takes a container made with --rm away; the lock is held.
func (s *Server) autoRemove(c *podman.Inspect) {
	if c.AutoRemove {
		s.containers = slices.DeleteFunc(s.containers, func(o *podman.Inspect) bool { return o == c })
	}
}

func (s *Server) unpause(w http.ResponseWriter, r *http.Request) {
	s.with(w, r, func(c *podman.Inspect) {
		if c.State.Status != podman.StatePaused {
			refuse(w, http.StatusInternalServerError, "%q is not paused, can't unpause: container state improper", c.ID)
			return
		}
		s.run(c)
		w.WriteHeader(http.StatusNoContent)
	})
}

func (s *Server) rename(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	s.with(w, r, func(c *podman.Inspect) {
		if other := s.find(name); other != nil {
			refuse(w, http.StatusConflict, "name %q is in use: container already exists", name)
			return
		}
		c.Name = name
		w.WriteHeader(http.StatusNoContent)
	})
}

func (s *Server) update(w http.ResponseWriter, r *http.Request) {
	s.with(w, r, func(c *podman.Inspect) {
		c.RestartPolicy = r.URL.Query().Get("restartPolicy")
		w.WriteHeader(http.StatusCreated)
		answer(w, c.ID)
	})
}

func (s *Server) remove(w http.ResponseWriter, r *http.Request) {
	s.with(w, r, func(c *podman.Inspect) {
		if c.State.Running && r.URL.Query().Get("force") != "true" {
			refuse(w, http.StatusInternalServerError, "cannot remove container %s as it is running - running or paused containers cannot be removed without force: container state improper", c.ID)
			return
		}
		s.containers = slices.DeleteFunc(s.containers, func(o *podman.Inspect) bool { return o == c })
		answer(w, []map[string]any{{"Id": c.ID, "Err": nil}})
	})
}

func (s *Server) healthcheck(w http.ResponseWriter, r *http.Request) {
	s.with(w, r, func(c *podman.Inspect) {
		switch {
		case c.Healthcheck == nil:
			refuse(w, http.StatusConflict, "container %s has no defined healthcheck", c.ID)
		case !c.State.Running:
			refuse(w, http.StatusConflict, "container %s is not running", c.ID)
		default:
			if s.OnCheck != nil {
				c.Health = &podman.Health{Status: s.OnCheck(c.Name)}
			}
			answer(w, podman.Health{Status: c.Health.Status})
		}
	})
}

func (s *Server) readLogs(w http.ResponseWriter, r *http.Request) {
	s.with(w, r, func(c *podman.Inspect) {
		lines := s.logs[c.Name]
		if n, err := strconv.Atoi(r.URL.Query().Get("tail")); err == nil {
			lines = lines[max(0, len(lines)-n):]
		}
		for _, line := range lines {
			frame(w, line+"\n")
		}
	})
}

// frame writes text as one frame of stdout.
func frame(w io.Writer, text string) {
	head := []byte{1, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(head[4:], uint32(len(text)))
	_, _ = w.Write(append(head, text...))
}

func (s *Server) createExec(w http.ResponseWriter, r *http.Request) {
	var body struct{ Cmd []string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		refuse(w, http.StatusInternalServerError, "decoding request body as JSON: %s", err)
		return
	}
	s.with(w, r, func(c *podman.Inspect) {
		if !c.State.Running {
			refuse(w, http.StatusInternalServerError, "can only create exec sessions on running containers: container state improper")
			return
		}
		id := s.id("exec")
		s.sessions[id] = &session{container: c.Name, argv: body.Cmd}
		w.WriteHeader(http.StatusCreated)
		answer(w, map[string]string{"Id": id})
	})
}

func (s *Server) startExec(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	session := s.sessions[r.PathValue("id")]
	s.mu.Unlock()
	if session == nil {
		refuse(w, http.StatusNotFound, "no such exec session")
		return
	}
	if s.OnExec == nil {
		return
	}
	output, code := s.OnExec(session.container, session.argv)
	s.mu.Lock()
	session.code = code
	s.mu.Unlock()
	frame(w, output)
}

func (s *Server) inspectExec(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	session := s.sessions[r.PathValue("id")]
	if session == nil {
		refuse(w, http.StatusNotFound, "no such exec session")
		return
	}
	answer(w, map[string]any{"ExitCode": session.code, "Running": false})
}
