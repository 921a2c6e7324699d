package spec

import (
	"net"
	"strconv"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
)

// What a check has where the manifest is silent; times are seconds.
const (
	healthInterval = 30
	healthTimeout  = 10
	healthRetries  = 3
)

// inside tells whether podman runs the check inside the container.
func (h *Health) inside() bool { return h != nil && (h.Cmd != "" || len(h.Argv) > 0) }

func (r *resolver) health() *Health {
	hc := r.App.HealthCheck
	if hc == nil {
		return nil
	}
	h := &Health{
		Interval:    seconds(hc.Interval, healthInterval),
		Timeout:     seconds(hc.Timeout, healthTimeout),
		Retries:     hc.Retries,
		StartPeriod: seconds(hc.StartPeriod, 0),
	}
	if h.Retries < 1 {
		h.Retries = healthRetries
	}
	if !translate(hc, h) {
		r.problem(BadManifest, "health_check", "a check of type %q needs an endpoint that fits it", hc.Type)
		return nil
	}
	return h
}

// translate turns the manifest's check into what podman runs, and tells whether it could.
func translate(hc *manifest.HealthCheck, h *Health) bool {
	text := strings.TrimSpace(hc.Endpoint.Text)
	switch hc.Type {
	case "http":
		h.Argv = []string{"curl", "-fsS", "-m", strconv.Itoa(h.Timeout), withScheme(text) + hc.Path}
	case "host_http":
		h.HostHTTP, h.Status = withScheme(text)+hc.Path, hc.Status
	case "tcp":
		host, port, err := net.SplitHostPort(strings.TrimPrefix(text, "tcp://"))
		if err != nil {
			return false
		}
		h.Argv = []string{"nc", "-z", host, port}
	case "exec":
		h.Argv = hc.Endpoint.Argv
		return len(h.Argv) > 0
	case "cmd":
		h.Cmd = text
	default:
		return false
	}
	return text != ""
}

func withScheme(endpoint string) string {
	if strings.Contains(endpoint, "://") {
		return endpoint
	}
	return "http://" + endpoint
}

// seconds rounds up, because podman's 0 means another thing than "very short".
func seconds(d manifest.Duration, absent int) int {
	if d <= 0 {
		return absent
	}
	return int((time.Duration(d) + time.Second - 1) / time.Second)
}
