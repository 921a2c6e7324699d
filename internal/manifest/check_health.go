package manifest

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (c checker) health() {
	h := c.app.HealthCheck
	if h == nil || c.bad("health_check", "health_check.type", "health_check.endpoint") {
		return
	}
	switch h.Type {
	case "exec":
		c.argv(h.Endpoint)
	case "cmd":
		c.text(h.Endpoint, "a shell text")
	case "http", "host_http":
		if c.text(h.Endpoint, "an address") {
			c.address(h.Endpoint.Text + h.Path)
		}
	case "tcp":
		if c.text(h.Endpoint, "host:port") {
			c.hostPort(h.Endpoint.Text)
		}
	}
	c.healthDetails(h)
}

// argv checks the arguments of type exec.
func (c checker) argv(e Endpoint) {
	switch {
	case e.Text != "":
		c.errorf("health_check.endpoint", "write a list, or use type cmd", "must be a list of arguments for type exec")
	case len(e.Argv) == 0 || e.Argv[0] == "":
		c.errorf("health_check.endpoint", "name the command", "is empty")
	case slices.ContainsFunc(e.Argv, func(s string) bool { return strings.Contains(s, `"`) }):
		c.doubleQuotes()
	}
}

// text checks the endpoint of every other type.
func (c checker) text(e Endpoint, what string) bool {
	switch {
	case e.Argv != nil:
		c.errorf("health_check.endpoint", "use type exec for a list", "must be %s", what)
	case strings.TrimSpace(e.Text) == "":
		c.errorf("health_check.endpoint", "write "+what, "is missing")
	case strings.Contains(e.Text, `"`):
		c.doubleQuotes()
	default:
		return true
	}
	return false
}

func (c checker) doubleQuotes() {
	c.errorf("health_check.endpoint", "use single quotes", "holds a double quote, which podman 5.4.2 mangles")
}

// address checks what curl is given; http:// is added when there is no scheme.
func (c checker) address(text string) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || strings.ContainsAny(text, " '`$\\"):
		c.errorf("health_check.endpoint", "as in http://127.0.0.1:8080", "%s is not an address", quote(text))
	case u.Scheme != "http" && u.Scheme != "https":
		c.errorf("health_check.endpoint", "http:// or https://", "%s is not a scheme of a health check", quote(u.Scheme))
	case u.Port() != "" && !isPort(u.Port()):
		c.errorf("health_check.endpoint", "1 to 65535", "%s is not a port", u.Port())
	case u.User != nil:
		c.errorf("health_check.endpoint", "ask an address without a login", "holds a login")
	}
}

func (c checker) hostPort(text string) {
	host, port, err := net.SplitHostPort(strings.TrimPrefix(text, "tcp://"))
	if err != nil || host == "" || !isPort(port) || strings.ContainsAny(host, " '`$\\;&|<>") {
		c.errorf("health_check.endpoint", "as in 127.0.0.1:9735", "%s is not host:port", quote(text))
	}
}

func isPort(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= 1 && n <= 65535
}

// healthDetails checks the times, which podman counts in seconds, and what only one type has.
func (c checker) healthDetails(h *HealthCheck) {
	times := []struct {
		field string
		value Duration
	}{{"interval", h.Interval}, {"timeout", h.Timeout}}
	for _, t := range times {
		if t.value != 0 && time.Duration(t.value) < time.Second {
			c.errorf("health_check."+t.field, "at least 1s", "%s is too short", t.value)
		}
	}
	if h.Path != "" && !strings.HasPrefix(h.Path, "/") {
		c.errorf("health_check.path", "try /"+h.Path, "%s does not begin with /", quote(h.Path))
	}
	if h.Path != "" && h.Type != "http" && h.Type != "host_http" {
		c.warnf("health_check.path", "remove it", "has no meaning for type %s", h.Type)
	}
	if len(h.Status) > 0 && h.Type != "host_http" {
		c.warnf("health_check.status", "use type host_http", "has no meaning for type %s", h.Type)
	}
}

func (c checker) hooks() {
	c.hookList("hooks.post_install", c.app.Hooks.PostInstall)
	c.hookList("hooks.post_start", c.app.Hooks.PostStart)
}

func (c checker) hookList(name string, hooks []Hook) {
	for i, h := range hooks {
		field := fmt.Sprintf("%s[%d]", name, i)
		switch {
		case c.bad(field, field+".exec", field+".copy_from_host"):
		case (len(h.Exec) == 0) == (h.CopyFromHost == nil):
			c.errorf(field, "write {exec: [argv]} or {copy_from_host: {src, dest}}", "must be exactly one of exec and copy_from_host")
		case len(h.Exec) > 0 && h.Exec[0] == "":
			c.errorf(field+".exec", "name the command", "is empty")
		case h.CopyFromHost != nil:
			c.copyFromHost(field+".copy_from_host", *h.CopyFromHost)
		}
	}
}

func (c checker) copyFromHost(field string, h CopyFromHost) {
	c.target(field+".dest", h.Dest)
	inside := within(h.Src, Install) || c.inData(h.Src)
	if escapes(h.Src) || path.IsAbs(h.Src) && !inside {
		c.errorf(field+".src", "relative to the app's data, or below "+Install, "%s lies elsewhere", quote(h.Src))
	}
}
