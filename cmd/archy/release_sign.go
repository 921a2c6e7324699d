package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"git.tx1138.com/lfg2025/archy/internal/release"
)

// passwordFlag says where a password comes from: never an argument, which every user of the machine can read.
type passwordFlag struct{ fd int }

func (p *passwordFlag) add(cmd *cobra.Command) {
	cmd.Flags().IntVar(&p.fd, "password-fd", -1, "read the key's password from file descriptor `N`, one line")
}

// read asks once, or twice for a password that is new.
func (p *passwordFlag) read(ctx context.Context, c *cli, fresh bool) (string, error) {
	if p.fd >= 0 {
		return p.fromDescriptor()
	}
	terminal := int(os.Stdin.Fd())
	if !term.IsTerminal(terminal) {
		return "", usage("--password-fd N reads it from a file descriptor", "there is no terminal to ask for the password")
	}
	text, err := c.prompt(ctx, terminal, "password of the key: ")
	if err != nil || !fresh {
		return text, err
	}
	again, err := c.prompt(ctx, terminal, "once more: ")
	if err == nil && again != text {
		err = usage("", "the two passwords differ")
	}
	return text, err
}

// prompt reads a line without its echo, which comes back also when the question is broken off.
func (c *cli) prompt(ctx context.Context, terminal int, text string) (string, error) {
	before, err := term.GetState(terminal)
	if err != nil {
		return "", err
	}
	fmt.Fprint(c.err, text)
	password, err := typed(ctx, func() (string, error) {
		data, err := term.ReadPassword(terminal)
		return string(data), err
	})
	_ = term.Restore(terminal, before)
	fmt.Fprintln(c.err)
	return password, err
}

func (p *passwordFlag) fromDescriptor() (string, error) {
	f := os.NewFile(uintptr(p.fd), "password")
	if f == nil {
		return "", usage("", "--password-fd %d: no such descriptor", p.fd)
	}
	line, err := bufio.NewReader(io.LimitReader(f, 4096)).ReadString('\n')
	if err != nil && (!errors.Is(err, io.EOF) || line == "") {
		return "", usage("for example: --password-fd 3 3< password-file", "--password-fd %d: nothing can be read from it", p.fd)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func releaseKeygenCmd() *cobra.Command {
	var out string
	var password passwordFlag
	cmd := &cobra.Command{
		Use:   "keygen --out NAME",
		Short: "make a pair of keys for signing",
		Long: `keygen writes NAME.key, the private key, protected by a password, and NAME.pub, the public
one, in the format of minisign. The private key belongs neither on a node nor in the
source tree; the public one goes to release.keys_dir of every node.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := cliOf(cmd)
			if out == "" {
				return usage(cmd.CommandPath()+" --help", "--out is missing")
			}
			text, err := password.read(cmd.Context(), c, true)
			if err != nil {
				return err
			}
			if text == "" {
				return usage("", "the password is empty")
			}
			if err := release.GenerateKey(out, text, rand.Reader); err != nil {
				return &exitError{exitFailed, "keygen", err, "an existing key is never replaced"}
			}
			return c.done(map[string]any{"schema": 1, "private": out + ".key", "public": out + ".pub"}, "wrote %s.key and %s.pub\n", out, out)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write `NAME`.key and NAME.pub")
	password.add(cmd)
	return cmd
}

func releaseSignCmd() *cobra.Command {
	var key, manifestFile string
	var password passwordFlag
	cmd := &cobra.Command{
		Use:   "sign --key FILE",
		Short: "sign a manifest",
		Long: `sign writes manifest.json.minisig beside the manifest, in the format of minisign. The
signature names version, date and digest, so that it fits no other release.`,
		Example: "  archy release sign --key release.key --manifest manifest.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := cliOf(cmd)
			if key == "" {
				return usage(cmd.CommandPath()+" --help", "--key is missing")
			}
			signature, err := c.sign(cmd.Context(), key, manifestFile, &password)
			if err != nil {
				return err
			}
			return c.done(map[string]any{"schema": 1, "signature": signature}, "wrote %s\n", signature)
		},
	}
	f := cmd.Flags()
	f.StringVar(&key, "key", "", "the private key `FILE`")
	f.StringVar(&manifestFile, "manifest", "manifest.json", "the manifest `FILE`")
	password.add(cmd)
	return cmd
}

// sign opens the key and signs the manifest.
func (c *cli) sign(ctx context.Context, keyFile, manifestFile string, password *passwordFlag) (string, error) {
	key, err := c.openKey(ctx, keyFile, password)
	if err != nil {
		return "", err
	}
	defer key.Close()
	path, err := key.SignFile(manifestFile)
	if err != nil {
		return "", &exitError{exitFailed, "sign", err, "archy release verify says what is wrong with a manifest"}
	}
	return path, nil
}

func (c *cli) openKey(ctx context.Context, path string, password *passwordFlag) (*release.Key, error) {
	key, err := release.OpenKey(path, func() (string, error) { return password.read(ctx, c, false) })
	var exit *exitError
	switch {
	case errors.As(err, &exit), ctx.Err() != nil:
		return nil, err
	case errors.Is(err, release.ErrPassword):
		return nil, &exitError{exitFailed, "password", err, "nothing was signed"}
	case err != nil:
		return nil, &exitError{exitUsage, "key", err, "a private key is the .key file of archy release keygen"}
	}
	return key, nil
}

// done prints what was done: the document, or the line.
func (c *cli) done(doc any, format string, args ...any) error {
	if c.json {
		return c.printJSON(doc)
	}
	if c.quiet {
		return nil
	}
	_, err := fmt.Fprintf(c.out, format, args...)
	return err
}
