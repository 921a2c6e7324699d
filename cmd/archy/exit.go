package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// Exit codes, the same for every command.
const (
	exitOK          = 0
	exitFailed      = 1   // nothing could be done
	exitUsage       = 2   // usage, configuration or manifest error; wrong user
	exitPartial     = 3   // some apps failed, the rest was done
	exitDrift       = 4   // something differs, with --exit-code or --check
	exitLocked      = 5   // another run holds the lock
	exitHuman       = 6   // somebody has to decide
	exitInterrupted = 130 // SIGINT, SIGTERM, SIGHUP
)

// exitError is an error with the code that the program ends with. Class is its name in JSON; Hint is what the
// operator can do next. A nil Err means that the command has said everything itself.
type exitError struct {
	Code  int
	Class string
	Err   error
	Hint  string
}

func (e *exitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit %d", e.Code)
	}
	return e.Err.Error()
}

func (e *exitError) Unwrap() error { return e.Err }

// exitCode ends the program with a code after the command printed its result; 0 is no error.
func exitCode(code int) error {
	if code == exitOK {
		return nil
	}
	return &exitError{Code: code}
}

// usage is an error of the person at the keyboard, exit 2.
func usage(hint, format string, args ...any) error {
	return &exitError{Code: exitUsage, Class: "usage", Err: fmt.Errorf(format, args...), Hint: hint}
}

// classify gives every error its code, class and hint, in one place.
func classify(err error) *exitError {
	var (
		exit        *exitError
		config      *node.ConfigError
		locked      state.ErrLocked
		unreachable *podman.UnreachableError
		volume      *node.VolumeError
		answer      *podman.APIError
		secret      secrets.Finding
		human       *firstboot.HumanError
		child       *firstboot.ChildError
		refusal     *reconcile.Refusal
	)
	switch {
	case errors.As(err, &exit):
		return exit
	case errors.As(err, &config):
		return &exitError{exitUsage, "config", err, "the keys and their defaults are in docs/operations.md"}
	case errors.As(err, &refusal):
		return &exitError{exitUsage, "refused", err, refusal.Hint}
	case errors.As(err, &locked):
		return &exitError{exitLocked, "locked", err, "wait for it to end, or give --wait-lock a longer time"}
	case errors.As(err, &volume):
		return &exitError{exitHuman, "data-volume", err, volume.Hint()}
	case errors.As(err, &human):
		return &exitError{exitHuman, "needs-human", err, human.Hint}
	case errors.Is(err, firstboot.ErrInterrupted):
		return &exitError{exitInterrupted, "interrupted", err, "the next first boot goes on from here"}
	case errors.As(err, &child) && child.Code == exitHuman:
		return &exitError{exitHuman, "needs-human", err, ""}
	case errors.As(err, &secret):
		return &exitError{exitFailed, "secret", fmt.Errorf("%s: %s", secret.Path, secret.Detail), secret.Repair}
	case errors.Is(err, context.Canceled):
		return &exitError{exitInterrupted, "interrupted", errors.New("interrupted"), "the next pass goes on from here"}
	case errors.As(err, &unreachable), errors.Is(err, podman.ErrGarbage):
		return &exitError{exitFailed, "podman-unreachable", err, "systemctl --user status podman.socket"}
	case errors.As(err, &answer):
		return &exitError{exitFailed, "podman", err, "podman answers with an error; see: journalctl --user -u podman"}
	}
	return &exitError{Code: exitFailed, Class: "failed", Err: err}
}

// report prints an error as text to stderr or, asked for JSON, as a document to stdout.
func (c *cli) report(e *exitError) {
	if e.Err == nil {
		return
	}
	if c.json {
		writeErrorDocument(c.out, e)
		return
	}
	for line := range strings.SplitSeq(e.Err.Error(), "\n") {
		fmt.Fprintln(c.err, "error: "+line)
	}
	if e.Hint != "" {
		fmt.Fprintln(c.err, "hint: "+e.Hint)
	}
}

func writeErrorDocument(w io.Writer, e *exitError) {
	var doc struct {
		Schema int `json:"schema"`
		Error  struct {
			Code    string `json:"code"`
			Message string `json:"message"`
			Hint    string `json:"hint,omitempty"`
		} `json:"error"`
		ExitCode int `json:"exit_code"`
	}
	doc.Schema, doc.ExitCode = 1, e.Code
	doc.Error.Code, doc.Error.Message, doc.Error.Hint = e.Class, e.Err.Error(), e.Hint
	_ = json.NewEncoder(w).Encode(doc)
}
