package main

import (
	"cmp"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/doctor"
	"git.tx1138.com/lfg2025/archy/internal/metrics"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

// writeMetrics writes the figures of a pass where flag or configuration say. A file that cannot be written is a warning:
// the pass was made.
func (e *env) writeMetrics(file string, began time.Time, result *reconcile.Result, err error) {
	file = cmp.Or(file, e.Config.Reconcile.Metrics)
	if file == "" {
		return
	}
	p := metrics.Pass{Version: version, At: began, Duration: time.Since(began), Result: result, Asked: result != nil || podmanAsked(err), Goroutines: runtime.NumGoroutine()}
	switch {
	case result != nil:
		p.ExitCode = result.ExitCode
	case err != nil:
		p.ExitCode = classify(err).Code
	}
	var fs syscall.Statfs_t
	if syscall.Statfs(e.Layout.Host(e.Layout.DataDir), &fs) == nil {
		p.DiskFree, p.DiskSize = int64(fs.Bavail)*fs.Bsize, int64(fs.Blocks)*fs.Bsize
	}
	p.Certificates = map[string]time.Time{}
	for _, path := range doctor.CertificateFiles(e.Layout, reconcile.RecordedDataDir(e.Set, e.State, e.Layout, lndApp)) {
		if cert, err := doctor.ReadCertificate(e.Layout, path); err == nil && cert != nil {
			p.Certificates[path] = cert.NotAfter
		}
	}
	if err := p.Write(e.Layout.Host(file)); err != nil {
		fmt.Fprintln(e.err, "warning:", err)
	}
}
