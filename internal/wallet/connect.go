package wallet

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// The interfaces of LND that a wallet app can be given.
const (
	REST = "rest"
	GRPC = "grpc"
)

// Problem is why LND cannot be connected to, with what its owner can do.
type Problem struct{ Code, Text, Hint string }

func (p *Problem) Error() string { return p.Text }

// Credentials are what a client needs of LND: its certificate, and the macaroon that may do everything.
type Credentials struct {
	Certificate *x509.Certificate
	Macaroon    []byte
}

// PEM is the certificate as LND's own file has it.
func (c Credentials) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate.Raw}))
}

// URI is the lndconnect URI for an address, as its specification has it: https://github.com/LN-Zap/lndconnect/blob/master/lnd_connect_uri.md
func (c Credentials) URI(address string) string {
	return fmt.Sprintf("lndconnect://%s?cert=%s&macaroon=%s", address,
		base64.RawURLEncoding.EncodeToString(c.Certificate.Raw), base64.RawURLEncoding.EncodeToString(c.Macaroon))
}

// HasMacaroon tells whether the admin macaroon lies below LND's data directory. One that cannot be looked at counts as there.
func HasMacaroon(ctx context.Context, r Reader, dir string) bool {
	_, err := r.ReadFile(ctx, Macaroon(dir))
	return !errors.Is(err, fs.ErrNotExist)
}

// ReadCertificate reads LND's certificate below dir, its data directory; shown is that directory as the owner knows it.
func ReadCertificate(ctx context.Context, r Reader, dir, shown string) (Credentials, error) {
	text, err := r.ReadFile(ctx, Certificate(dir))
	if err != nil {
		return Credentials{}, unread(err, "no-certificate", Certificate(shown), "lnd writes it at its first start; see: archy status lnd")
	}
	cert, err := ParseCertificate(text)
	if err != nil {
		return Credentials{}, &Problem{"no-certificate", fmt.Sprintf("%s: %v", Certificate(shown), err),
			fmt.Sprintf("remove %s/tls.cert and %s/tls.key, then restart lnd: it makes new ones", shown, shown)}
	}
	return Credentials{Certificate: cert}, nil
}

// ReadMacaroon reads the admin macaroon below dir, which stays as it is.
func ReadMacaroon(ctx context.Context, r Reader, dir, shown string) ([]byte, error) {
	macaroon, err := r.ReadFile(ctx, Macaroon(dir))
	if err == nil && len(macaroon) == 0 {
		err = fmt.Errorf("it is empty: %w", fs.ErrNotExist)
	}
	if err != nil {
		return nil, unread(err, "no-macaroon", Macaroon(shown), "lnd writes it when its wallet is made; see: archy status lnd")
	}
	return macaroon, nil
}

// unread says whether a file is missing or kept from the caller.
func unread(err error, code, file, hint string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &Problem{code, file + " is missing", hint}
	}
	return &Problem{"unreadable", fmt.Sprintf("%s cannot be read: %v", file, err),
		"run it as the service user, or let that user run: sudo -n cat " + file}
}

// CheckState asks LND how its wallet is, and says what to do when a client could not use it.
func CheckState(ctx context.Context, address string, cert *x509.Certificate) error {
	state, err := newREST(address, cert).state(ctx)
	switch {
	case errors.Is(err, errOtherCertificate):
		return &Problem{"certificate", err.Error(), "restart lnd, so that it uses the certificate on its disk"}
	case err != nil:
		return &Problem{"not-answering", "lnd does not answer at " + address, "see: archy status lnd"}
	}
	switch state {
	case stateNoWallet:
		return &Problem{"no-wallet", "lnd has no wallet yet", "run: archy reconcile; or, with lnd.auto_init_wallet: false, podman exec -it lnd lncli create"}
	case stateLocked:
		return &Problem{"locked", "lnd's wallet is locked", "unlock it: podman exec -it lnd lncli unlock; or write its password to the secret " + LegacySecret + " and run: archy reconcile"}
	}
	return nil
}

// ReadOnion is the name of a Tor service, from the file that holds it.
func ReadOnion(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	name := string(bytes.TrimSpace(text))
	if !strings.HasSuffix(name, ".onion") || strings.ContainsAny(name, " \r\n/:") {
		return "", fmt.Errorf("%s holds no onion name", file)
	}
	return name, nil
}

// HostPort joins an address for a URI.
func HostPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// CheckHost refuses what is no host name and no address.
func CheckHost(host string) error {
	u, err := url.Parse("lndconnect://" + HostPort(host, 1))
	if err != nil || u.Hostname() != host || host == "" {
		return fmt.Errorf("%q is not a host name or an address", host)
	}
	return nil
}
