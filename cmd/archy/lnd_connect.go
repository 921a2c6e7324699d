package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/mdp/qrterminal/v3"
	"github.com/spf13/cobra"
	"rsc.io/qr"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/wallet"
)

// lndConnectOptions are the flags of lnd connect.
type lndConnectOptions struct {
	rest, grpc, onion bool
	host              string
	qr, noQR          bool
}

func lndConnectCmd() *cobra.Command {
	var o lndConnectOptions
	cmd := &cobra.Command{
		Use:   "connect",
		Short: "print what a wallet app needs to control lnd, and a QR code of it",
		Long: `connect prints lndconnect URIs for the LAN address and the onion address, lnd's
certificate, its admin macaroon and, on a terminal, a QR code for a wallet app. Who has the
macaroon can spend all that the node has: it goes to stdout and nowhere else.

The macaroon is read where lnd keeps it: directly, in podman's user namespace, or with
sudo -n. It is never copied, and neither its mode nor its owner is changed.`,
		Example: `  archy lnd connect
  archy lnd connect --onion
  archy lnd connect --grpc --host node.local
  archy lnd connect --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.rest, "rest", false, "only the REST interface at the LAN address")
	f.BoolVar(&o.grpc, "grpc", false, "only the gRPC interface at the LAN address")
	f.BoolVar(&o.onion, "onion", false, "only the REST interface at the onion address")
	f.StringVar(&o.host, "host", "", "name or address that the app shall use instead of the LAN address")
	f.BoolVar(&o.qr, "qr", false, "draw the QR code also where stdout is no terminal")
	f.BoolVar(&o.noQR, "no-qr", false, "draw no QR code")
	cmd.MarkFlagsMutuallyExclusive("rest", "grpc", "onion")
	cmd.MarkFlagsMutuallyExclusive("qr", "no-qr")
	cmd.MarkFlagsMutuallyExclusive("host", "onion")
	return cmd
}

func (o *lndConnectOptions) run(cmd *cobra.Command) error {
	if o.host != "" {
		if err := wallet.CheckHost(o.host); err != nil {
			return usage("as in --host node.local", "--host: %w", err)
		}
	}
	e, err := openEnv(cmd)
	if err != nil {
		return err
	}
	e.loadManifests()
	e.Facts, _ = node.ReadFacts(e.Layout, e.User) // only the addresses are wanted: what is missing shows as empty
	conn, err := o.connection(cmd.Context(), e)
	var p *wallet.Problem
	if errors.As(err, &p) {
		return &exitError{exitFailed, p.Code, p, p.Hint}
	}
	if err != nil {
		return err
	}
	return o.print(e.cli, conn)
}

// lndEndpoint is one way to LND.
type lndEndpoint struct {
	Interface string `json:"interface"`
	Where     string `json:"where"`
	Address   string `json:"address"`
	URI       string `json:"uri"`
}

// The places that LND is reached at.
const (
	lan   = "lan"
	onion = "onion"
)

// lndConnection is all that connect prints; its JSON form is the contract of --json.
type lndConnection struct {
	Schema      int           `json:"schema"`
	Endpoints   []lndEndpoint `json:"endpoints"`
	Onion       string        `json:"onion,omitempty"`
	Certificate string        `json:"certificate"`
	Macaroon    string        `json:"macaroon"`
	Warnings    []string      `json:"warnings,omitempty"`
}

// connection gathers it: the container's ports from podman, the rest from LND's directory and LND itself.
func (o *lndConnectOptions) connection(ctx context.Context, e *env) (lndConnection, error) {
	dir, ports, err := e.lndContainer(ctx)
	if err != nil {
		return lndConnection{}, err
	}
	reader := wallet.Reader{Mapped: podman.CLI{Runner: command.Exec{}, Pause: e.pauseFile()}, Runner: command.Exec{}}
	cred, err := wallet.ReadCertificate(ctx, reader, e.Layout.Host(dir), dir)
	if err != nil {
		return lndConnection{}, err
	}
	if err := wallet.CheckState(ctx, wallet.HostPort("127.0.0.1", ports[restPort]), cred.Certificate); err != nil {
		return lndConnection{}, err
	}
	if cred.Macaroon, err = wallet.ReadMacaroon(ctx, reader, e.Layout.Host(dir), dir); err != nil {
		return lndConnection{}, err
	}
	conn := lndConnection{Schema: 1, Certificate: cred.PEM(), Macaroon: hex.EncodeToString(cred.Macaroon)}
	if p := wallet.CertificateProblem(cred.Certificate, dir); p != "" {
		conn.Warnings = append(conn.Warnings, p)
	}
	return conn, o.endpoints(e, &conn, cred, ports)
}

// endpoints are the ways that were asked for, all by default. A node without Tor has no onion address.
func (o *lndConnectOptions) endpoints(e *env, conn *lndConnection, cred wallet.Credentials, ports map[int]int) error {
	add := func(kind, where, address string) {
		conn.Endpoints = append(conn.Endpoints, lndEndpoint{kind, where, address, cred.URI(address)})
	}
	host := o.lanHost(e)
	if !o.grpc && !o.onion {
		add(wallet.REST, lan, wallet.HostPort(host, ports[restPort]))
	}
	if !o.rest && !o.onion {
		add(wallet.GRPC, lan, wallet.HostPort(host, ports[grpcPort]))
	}
	name, err := wallet.ReadOnion(e.Layout.Host(e.Layout.Data("tor-hostnames", "lnd-rest")))
	switch {
	case err == nil:
		conn.Onion = name
		if !o.rest && !o.grpc {
			add(wallet.REST, onion, wallet.HostPort(name, restPort))
		}
	case o.onion:
		return &wallet.Problem{Code: "no-onion", Text: "lnd has no onion address: " + err.Error(),
			Hint: "archy lays it down with the Tor services at the first boot; see: systemctl status tor"}
	}
	return nil
}

// lanHost is the address of the node on the LAN; offline, its name.
func (o *lndConnectOptions) lanHost(e *env) string {
	switch {
	case o.host != "":
		return o.host
	case e.Facts.HostIP != "":
		return e.Facts.HostIP
	}
	return e.Facts.HostMDNS
}

// lndContainer finds the data directory of the container that runs, and the host's port for each of its ports. One that an
// older release made has other ports, and may have another directory.
func (e *env) lndContainer(ctx context.Context) (dir string, ports map[int]int, err error) {
	if err := e.broken(lndApp); err != nil {
		return "", nil, err
	}
	app := e.Set.Apps[lndApp]
	engine := podman.New(e.Layout.Host(e.Layout.PodmanSocket()))
	defer engine.Close()
	list, err := engine.List(ctx)
	if err != nil {
		return "", nil, err
	}
	i := slices.IndexFunc(list, func(c podman.Container) bool { return c.Name == app.Unit() && c.State == podman.StateRunning })
	if i < 0 {
		return "", nil, &wallet.Problem{Code: "not-running", Text: "lnd does not run", Hint: "archy why lnd; or, if it is not installed: archy install lnd"}
	}
	ports = map[int]int{restPort: restPort, grpcPort: grpcPort}
	for _, p := range list[i].Ports {
		ports[p.ContainerPort] = p.HostPort
	}
	made, err := engine.Inspect(ctx, list[i].ID)
	return reconcile.DataDir(app, reconcile.PinnedVolumes(app, made), e.Layout.DataDir), ports, err
}

// print shows the connection: the data on stdout, the warning on stderr.
func (o *lndConnectOptions) print(c *cli, conn lndConnection) error {
	c.say("note: this output holds lnd's admin macaroon: who has it can spend all that the node has")
	if c.json {
		return json.NewEncoder(c.out).Encode(conn)
	}
	for _, w := range conn.Warnings {
		fmt.Fprintln(c.err, "warning: "+w)
	}
	for _, e := range conn.Endpoints {
		fmt.Fprintf(c.out, "%s %s  %s\n%s\n\n", e.Where, e.Interface, e.Address, e.URI)
	}
	if conn.Onion != "" {
		fmt.Fprintf(c.out, "onion address\n%s\n\n", conn.Onion)
	}
	fmt.Fprintf(c.out, "macaroon\n%s\n\ncertificate\n%s", conn.Macaroon, conn.Certificate)
	if o.noQR || !o.qr && c.width() == 0 {
		return nil
	}
	first := conn.Endpoints[0]
	return c.drawQR(first.URI, first.Where+" "+first.Interface)
}

// quietZone is the white border of a QR code, in modules. Phones need less than the four of the norm.
const quietZone = 2

// drawQR draws two rows of modules a line. A code that the terminal would wrap is not drawn: nothing could read it.
func (c *cli) drawQR(text, title string) error {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return fmt.Errorf("QR code: %w", err)
	}
	if need, have := code.Size+2*quietZone, c.width(); have > 0 && have < need {
		c.say("no QR code: it needs %d columns, the terminal has %d (hint: make the window wider or its letters smaller)", need, have)
		return nil
	}
	if _, err := io.WriteString(c.out, "\n"+title+"\n"); err != nil {
		return err
	}
	qrterminal.GenerateWithConfig(text, qrterminal.Config{Level: qr.L, Writer: c.out, HalfBlocks: true, QuietZone: quietZone,
		BlackChar: qrterminal.BLACK_BLACK, WhiteChar: qrterminal.WHITE_WHITE, BlackWhiteChar: qrterminal.BLACK_WHITE, WhiteBlackChar: qrterminal.WHITE_BLACK})
	return nil
}
