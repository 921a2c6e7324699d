package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestQuestionsInterrupted: ^C at a question on a terminal is heeded at once, as an interruption, and a terminal that has lost its echo to
// a password has it again.
func TestQuestionsInterrupted(t *testing.T) {
	key := filepath.Join(t.TempDir(), "release.key")
	// A sealed key is opened only after its password: this one has none.
	sealed := append([]byte("EdScB2"), make([]byte, 152)...)
	if err := os.WriteFile(key, []byte("untrusted comment: a key\n"+base64.StdEncoding.EncodeToString(sealed)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]func(context.Context, *cli) error{
		"yes": func(ctx context.Context, c *cli) error { return c.sure(ctx, false, "now?") },
		"password": func(ctx context.Context, c *cli) error {
			_, err := c.openKey(ctx, key, &passwordFlag{fd: -1})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			hand, terminal := openTerminal(t)
			stdin := os.Stdin
			os.Stdin = terminal
			defer func() { os.Stdin = stdin }()
			ctx, interrupt := context.WithCancel(t.Context())
			var said bytes.Buffer
			answered := make(chan error, 1)
			go func() { answered <- ask(ctx, &cli{out: io.Discard, err: &said}) }()
			if name == "password" {
				await(t, func() bool { return !echoes(t, hand) })
			}
			time.AfterFunc(20*time.Millisecond, interrupt)
			select {
			case err := <-answered:
				if e := classify(err); e.Code != exitInterrupted {
					t.Errorf("exit %d: %v", e.Code, err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("it waits on")
			}
			if !echoes(t, hand) {
				t.Error("the terminal has no echo")
			}
		})
	}
}

// openTerminal gives the two ends of a terminal: where a person types, and what a program has for its stdin.
func openTerminal(t *testing.T) (hand, terminal *os.File) {
	t.Helper()
	hand, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(hand.Fd()), unix.TIOCGPTN)
	if err := errors.Join(err, unix.IoctlSetPointerInt(int(hand.Fd()), unix.TIOCSPTLCK, 0)); err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hand.Close() }) // which ends the read that a question was left in
	return hand, terminal
}

func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	is, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return is.Lflag&unix.ECHO != 0
}

// await waits until something is so.
func await(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never is")
		}
	}
}
