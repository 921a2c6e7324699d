package doctor

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

// certificateSoon is how early the end of a certificate is told.
const certificateSoon = 14 * 24 * time.Hour

// sslDir holds the certificates of the node's web server.
const sslDir = "/etc/archipelago/ssl"

// errNotCertificate is of a file that is neither a certificate nor a key.
var errNotCertificate = errors.New("it is no certificate")

// CertificateFiles are the certificates of the node's web server, and lnd's in its data directory.
func CertificateFiles(l node.Layout, lnd string) []string {
	var list []string
	paths, _ := filepath.Glob(l.Host(sslDir + "/*"))
	for _, host := range paths {
		if slices.Contains([]string{".crt", ".pem", ".cert"}, filepath.Ext(host)) {
			list = append(list, filepath.Join(sslDir, filepath.Base(host)))
		}
	}
	return append(list, filepath.Join(lnd, tlsCert))
}

// tlsCert is lnd's certificate in its data directory.
const tlsCert = "tls.cert"

// ReadCertificate gives the first certificate of a file; nil for a file that is absent, that this user may not read, or that holds a key.
func ReadCertificate(l node.Layout, path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(l.Host(path))
	if err != nil {
		return nil, nil
	}
	block, _ := pem.Decode(text)
	switch {
	case block != nil && block.Type == "CERTIFICATE":
		return x509.ParseCertificate(block.Bytes)
	case strings.Contains(string(text), "PRIVATE KEY"):
		return nil, nil
	}
	return nil, errNotCertificate
}

func certificates(_ context.Context, n *Node) []Finding {
	var list []Finding
	lnd := reconcile.RecordedDataDir(n.Set, n.State, n.Layout, "lnd")
	for _, path := range CertificateFiles(n.Layout, lnd) {
		name, mend := "", "make it anew and put it there, then sudo systemctl reload nginx"
		if path == filepath.Join(lnd, tlsCert) {
			name, mend = "lnd", "archy stop lnd; sudo rm "+path+" "+filepath.Join(lnd, "tls.key")+"; archy start lnd: lnd makes new ones"
		}
		list = append(list, n.certificate(path, name, mend)...)
	}
	return list
}

func (n *Node) certificate(path, name, mend string) []Finding {
	cert, err := ReadCertificate(n.Layout, path)
	switch {
	case err != nil:
		return []Finding{failure(path, "%v", err).by("%s", mend)}
	case cert == nil:
		return nil
	}
	var list []Finding
	switch left := cert.NotAfter.Sub(n.Now()); {
	case left < 0:
		list = append(list, failure(path, "it ended %s", stamp(cert.NotAfter)).by("%s", mend))
	case left < certificateSoon:
		list = append(list, warning(path, "it ends %s", stamp(cert.NotAfter)).by("%s", mend))
	}
	if name != "" && cert.VerifyHostname(name) != nil {
		list = append(list, warning(path, "it lacks the name %s, by which the other apps dial it", name).by("%s", mend))
	}
	return list
}
