package doctor

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// certificateSoon is how early the end of a certificate is told.
const certificateSoon = 14 * 24 * time.Hour

// certificates of the node's web server and of lnd; one that cannot be read is its owner's.
func certificates(_ context.Context, n *Node) []Finding {
	var list []Finding
	paths, _ := filepath.Glob(n.Layout.Host("/etc/archipelago/ssl/*"))
	for _, host := range paths {
		path := filepath.Join("/etc/archipelago/ssl", filepath.Base(host))
		if slices.Contains([]string{".crt", ".pem", ".cert"}, filepath.Ext(path)) {
			list = append(list, n.certificate(path, "", "make it anew and put it there, then sudo systemctl reload nginx")...)
		}
	}
	lnd := n.Layout.Data("lnd/tls.cert")
	return append(list, n.certificate(lnd, "lnd", "archy stop lnd; sudo rm "+lnd+" "+n.Layout.Data("lnd/tls.key")+"; archy start lnd: lnd makes new ones")...)
}

func (n *Node) certificate(path, name, mend string) []Finding {
	text, err := os.ReadFile(n.Layout.Host(path))
	if err != nil {
		return nil
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		if strings.Contains(string(text), "PRIVATE KEY") {
			return nil
		}
		return []Finding{failure(path, "it is no certificate").by("%s", mend)}
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return []Finding{failure(path, "%v", err).by("%s", mend)}
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
