package podman

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxOutput bounds what is kept of a command's output or of a log.
const maxOutput = 4 << 20

// Exec runs argv inside the running container and returns what it said on stdout and stderr, in the order it came,
// and its exit code. A command that is not done after Limits.Exec is killed.
func (c *Client) Exec(ctx context.Context, name string, argv []string) (output string, exitCode int, err error) {
	limited, cancel := context.WithTimeout(ctx, c.Limits.Exec)
	defer cancel()
	op := "exec in container " + name
	session, err := c.createExec(limited, op, name, argv)
	if err != nil {
		return "", -1, err
	}
	output, err = c.startExec(ctx, limited, op, session)
	if err != nil {
		c.killExec(ctx, op, session)
		return output, -1, err
	}
	code, err := c.execResult(ctx, op, session)
	return output, code, err
}

func (c *Client) createExec(ctx context.Context, op, name string, argv []string) (string, error) {
	if len(argv) == 0 {
		return "", fmt.Errorf("%s: no command", op)
	}
	body, err := json.Marshal(map[string]any{"Cmd": argv, "AttachStdout": true, "AttachStderr": true})
	if err != nil {
		return "", err
	}
	r := c.post(op, "/containers/%s/exec", name)
	r.limit = c.Limits.Exec
	r.body, r.mime = bytes.NewReader(body), "application/json"
	var session struct {
		ID string `json:"Id"`
	}
	err = c.call(ctx, r, &session)
	return session.ID, err
}

func (c *Client) startExec(ctx, limited context.Context, op, session string) (string, error) {
	r := c.post(op, "/exec/%s/start", session)
	r.limit = c.Limits.Exec
	r.body, r.mime = strings.NewReader(`{"Detach":false,"Tty":false}`), "application/json"
	body, err := c.open(ctx, limited, r)
	if err != nil {
		return "", err
	}
	defer body.Close()
	output, err := demultiplex(body)
	if err != nil {
		return output, c.explain(ctx, limited, r, err)
	}
	return output, nil
}

// killExec removes the session and with it the command that still runs.
func (c *Client) killExec(ctx context.Context, op, session string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.Limits.Remove)
	defer cancel()
	r := c.post(op, "/exec/%s/remove", session)
	r.body, r.mime = strings.NewReader(`{"Force":true}`), "application/json"
	_ = c.call(ctx, r, nil)
}

// execResult reads the exit code. podman closes the stream a moment before it knows the code.
func (c *Client) execResult(ctx context.Context, op, session string) (int, error) {
	var s struct {
		ExitCode int
		Running  bool
	}
	for range 50 {
		if err := c.call(ctx, c.get(op, "/exec/%s/json", session), &s); err != nil {
			return -1, err
		}
		if !s.Running {
			return s.ExitCode, nil
		}
		select {
		case <-ctx.Done():
			return -1, fmt.Errorf("%s: %w", op, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
	return -1, fmt.Errorf("%s: the command closed its output and goes on", op)
}

// Logs returns the last lines of what the container said. n is the number of lines.
func (c *Client) Logs(ctx context.Context, name string, n int) ([]string, error) {
	limited, cancel := context.WithTimeout(ctx, c.Limits.Query)
	defer cancel()
	r := c.get("logs of container "+name, "/containers/%s/logs", name)
	r.query = url.Values{"stdout": {"true"}, "stderr": {"true"}, "tail": {strconv.Itoa(n)}}
	body, err := c.open(ctx, limited, r)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	text, err := demultiplex(body)
	if err != nil {
		return nil, c.explain(ctx, limited, r, err)
	}
	if text = strings.TrimSuffix(text, "\n"); text == "" {
		return nil, nil
	}
	return strings.Split(text, "\n"), nil
}

// Healthcheck runs the container's check now and returns its health. A container without a check, or one that
// does not run, is an ErrConflict.
func (c *Client) Healthcheck(ctx context.Context, name string) (string, error) {
	check, err := c.Check(ctx, name)
	return check.Status, err
}

// Check is one run of a health check. Status is the container's health after it: podman calls a container healthy until
// its check has failed as often in a row as it may, so Passed says more about this moment.
type Check struct {
	Status string
	Passed bool
	// Output is what the check printed.
	Output string
}

// Check is Healthcheck with what came of this one run.
func (c *Client) Check(ctx context.Context, name string) (Check, error) {
	r := c.get("health check of container "+name, "/containers/%s/healthcheck", name)
	r.limit = c.Limits.Exec
	var result struct {
		Status string
		Log    []struct {
			ExitCode int
			Output   string
		}
	}
	if err := c.call(ctx, r, &result); err != nil {
		return Check{}, err
	}
	check := Check{Status: health(result.Status)}
	check.Passed = check.Status == HealthHealthy
	if n := len(result.Log); n > 0 {
		check.Passed, check.Output = result.Log[n-1].ExitCode == 0, strings.TrimSpace(result.Log[n-1].Output)
	}
	return check, nil
}

// demultiplex joins the frames of a stream: one byte 1 or 2 for stdout or stderr, three zero, four of length.
func demultiplex(stream io.Reader) (string, error) {
	var out bytes.Buffer
	for {
		var head [8]byte
		if _, err := io.ReadFull(stream, head[:]); errors.Is(err, io.EOF) {
			return out.String(), nil
		} else if err != nil {
			return out.String(), err
		}
		if head[0] > 2 || head[1]|head[2]|head[3] != 0 {
			return out.String(), fmt.Errorf("frame header %x: %w", head, ErrGarbage)
		}
		size := int64(binary.BigEndian.Uint32(head[4:]))
		keep := min(size, max(0, maxOutput-int64(out.Len())))
		if _, err := io.CopyN(&out, stream, keep); err != nil {
			return out.String(), err
		}
		if _, err := io.CopyN(io.Discard, stream, size-keep); err != nil {
			return out.String(), err
		}
	}
}
