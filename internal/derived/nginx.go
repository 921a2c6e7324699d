package derived

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"text/template"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

//go:embed nginx.conf.tmpl
var nginxText string

var nginxTemplate = template.Must(template.New("nginx.conf").Parse(nginxText))

// NginxInput is all that the nginx.conf of bitcoin-ui is computed from.
type NginxInput struct {
	Password secrets.Value
	NoIPv6   bool // the kernel has no IPv6: nginx does not start with a listener that it cannot open
}

// NginxConf renders the whole nginx.conf of bitcoin-ui; it has no lines of the operator.
func NginxConf(in NginxInput) (File, error) {
	if err := in.Password.SingleLine("bitcoin-rpc-password"); err != nil {
		return File{}, fmt.Errorf("nginx.conf: %w", err)
	}
	data := struct {
		IPv6  bool
		Basic string
	}{!in.NoIPv6, base64.StdEncoding.EncodeToString([]byte(secrets.RPCUser + ":" + in.Password.Reveal()))}
	var out bytes.Buffer
	if err := nginxTemplate.Execute(&out, data); err != nil {
		return File{}, fmt.Errorf("nginx.conf: %w", err)
	}
	return File{Content: out.Bytes(), Digest: digest(out.Bytes())}, nil
}
