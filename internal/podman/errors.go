package podman

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

var (
	// ErrNotFound is in the chain of an error about a container, image, network or secret that podman does not have.
	ErrNotFound = errors.New("not found")
	// ErrConflict is in the chain of an error about a name that is taken or a state that forbids the call.
	ErrConflict = errors.New("conflict")
	// ErrUnreachable is in the chain of an error about a socket that is absent, refuses or does not answer.
	ErrUnreachable = errors.New("podman is unreachable")
	// ErrGarbage is in the chain of an error about an answer that podman would not give.
	ErrGarbage = errors.New("not an answer of podman")
)

// APIError is an error that podman itself answered.
type APIError struct {
	// Op is what was asked, with its object: "inspect container lnd".
	Op string
	// Status is the HTTP status; Message is podman's own text, word for word (healing reads it).
	Status  int
	Message string
}

func (e *APIError) Error() string { return e.Op + ": " + e.Message }

// Is reports ErrNotFound for 404 and ErrConflict for 409. A container that goes away while podman looks at it is not found
// either, though podman answers 500.
func (e *APIError) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Status == http.StatusNotFound || e.Status == http.StatusInternalServerError && strings.HasSuffix(e.Message, "no such container")
	case ErrConflict:
		return e.Status == http.StatusConflict
	}
	return false
}

// UnreachableError tells why podman could not be asked.
type UnreachableError struct {
	Op     string
	Socket string
	Cause  error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("%s: podman socket %s: %v; try: systemctl --user restart podman.socket", e.Op, e.Socket, e.Cause)
}

// Unwrap returns ErrUnreachable and the cause.
func (e *UnreachableError) Unwrap() []error { return []error{ErrUnreachable, e.Cause} }

// LimitError tells that podman took a call but did not finish it in time.
type LimitError struct {
	Op    string
	Limit time.Duration
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s: podman has not finished after %s; it may still be at it", e.Op, e.Limit)
}

// Unwrap makes a LimitError a context.DeadlineExceeded.
func (e *LimitError) Unwrap() error { return context.DeadlineExceeded }
