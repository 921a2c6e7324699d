package wallet

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/failpoint"
)

// Limits on one call of LND's REST.
const (
	connectLimit = 3 * time.Second
	callLimit    = 15 * time.Second
	// keyLimit is for the calls that turn a password into a key: on purpose that is slow (scrypt), 22 s were seen on a
	// machine with much else to do. To ask again meanwhile would disturb it.
	keyLimit  = 90 * time.Second
	maxAnswer = 1 << 20
)

// rest is LND's REST interface, spoken to only if it holds the certificate that lies on the disk.
type rest struct {
	address string
	client  *http.Client
}

// newREST pins the certificate: the names in it are those of the container, and it signs itself, so the one proof is
// that it is the same.
func newREST(address string, cert *x509.Certificate) *rest {
	pinned := func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 || !state.PeerCertificates[0].Equal(cert) {
			return errOtherCertificate
		}
		return nil
	}
	return &rest{address, &http.Client{Transport: failpoint.Transport(&http.Transport{
		DisableKeepAlives: true,
		DialContext:       (&net.Dialer{Timeout: connectLimit}).DialContext,
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, VerifyConnection: pinned}, //nolint:gosec // pinned above
	})}}
}

var errOtherCertificate = errors.New("who answers has another certificate than lnd's tls.cert")

// ParseCertificate reads the first certificate of a PEM file.
func ParseCertificate(text []byte) (*x509.Certificate, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
	return nil, errors.New("it holds no certificate in PEM form")
}

// CertificateProblem says what is wrong with the names in LND's certificate, "" when nothing is. dir is lnd's data directory.
// Other containers reach lnd by its name.
func CertificateProblem(cert *x509.Certificate, dir string) string {
	if slices.Contains(cert.DNSNames, "lnd") {
		return ""
	}
	return fmt.Sprintf("lnd's certificate lacks the name lnd, so other apps cannot trust it; archy never makes a new one: remove %s/tls.cert and %s/tls.key, then restart lnd", dir, dir)
}

// restError is an error that LND itself reports.
type restError struct {
	status  int
	message string
}

func (e *restError) Error() string { return "lnd: " + e.message }

// The words of LND's errors that archy acts on (lnd v0.18: walletunlocker, rpcperms, btcwallet's snacl).
const (
	wrongPassphrase = "invalid passphrase"
	walletExists    = "wallet already exists"
	walletOpen      = "wallet already unlocked"
	startingUp      = "starting up"
	noWallet        = "wallet not found"
)

// again tells that the same question may be answered otherwise in a moment: the state decides what to ask then.
func (e *restError) again() bool {
	if e.status == http.StatusNotFound || e.status == http.StatusServiceUnavailable || e.status == http.StatusNotImplemented {
		return true
	}
	for _, words := range []string{walletExists, walletOpen, startingUp, noWallet} {
		if strings.Contains(e.message, words) {
			return true
		}
	}
	return false
}

func (r *rest) get(ctx context.Context, path string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return r.call(ctx, http.MethodGet, path, nil, answer)
}

func (r *rest) post(ctx context.Context, path string, question, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, keyLimit)
	defer cancel()
	return r.call(ctx, http.MethodPost, path, question, answer)
}

func (r *rest) call(ctx context.Context, method, path string, question, answer any) error {
	var body io.Reader
	if question != nil {
		text, err := json.Marshal(question)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+r.address+path, body)
	if err != nil {
		return err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(http.MaxBytesReader(nil, resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return &restError{resp.StatusCode, message(text)}
	}
	return json.Unmarshal(text, answer)
}

// message is the one line of LND's error document.
func message(text []byte) string {
	var doc struct {
		Message string `json:"message"`
	}
	if err := json.Unmarshal(text, &doc); err != nil || doc.Message == "" {
		return "no error that can be read"
	}
	line, _, _ := strings.Cut(doc.Message, "\n")
	return line[:min(len(line), 200)]
}
