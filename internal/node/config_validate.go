package node

import (
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	minInterval = 5 * time.Second
	// minPrune and minDBCache are the smallest values that bitcoind accepts, in MiB.
	minPrune   = 550
	minDBCache = 4
)

var (
	userName = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
	appID    = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
)

// reject notes a value that is out of range, at the place where it was set.
func (c *configCheck) reject(key, format string, args ...any) {
	source, ok := c.source[key]
	if !ok {
		source = c.file
	}
	if strings.HasPrefix(source, "ARCHY_") {
		key = ""
	}
	c.add(source, key, format, args...)
}

func (c *configCheck) validate(cfg Config) {
	if !userName.MatchString(cfg.ServiceUser) {
		c.reject("service_user", "%q is not the name of a user", cfg.ServiceUser)
	}
	c.directory("data_dir", cfg.DataDir)
	c.directory("manifest_dir", cfg.ManifestDir)
	c.directory("local_manifest_dir", cfg.LocalManifestDir)
	c.directory("images.offline_dir", cfg.Images.OfflineDir)
	c.directory("release.keys_dir", cfg.Release.KeysDir)
	c.mirrors(cfg.Images)
	if cfg.Reconcile.Interval < minInterval {
		c.reject("reconcile.interval", "%s is too short, the least is %s", cfg.Reconcile.Interval, minInterval)
	}
	if cfg.Reconcile.MaxParallel < 1 {
		c.reject("reconcile.max_parallel", "%d is too small, the least is 1", cfg.Reconcile.MaxParallel)
	}
	if file := cfg.Reconcile.Metrics; file != "" && (!path.IsAbs(file) || path.Ext(file) != ".prom") {
		c.reject("reconcile.metrics", "%q is not an absolute path that ends with .prom", file)
	}
	c.oneOf("doctor.auto_heal", cfg.Doctor.AutoHeal, "off", "safe")
	c.oneOf("first_boot.profile", cfg.FirstBoot.Profile, "core", "full")
	c.oneOf("release.require_signature", cfg.Release.RequireSignature, "never", "if-present", "always")
	for i, id := range cfg.FirstBoot.Apps {
		if !appID.MatchString(id) {
			c.reject(item("first_boot.apps", i), "%q is not an app id", id)
		}
	}
	c.mebibytes("bitcoin.prune", cfg.Bitcoin.Prune, "auto, 0 (keep everything) or at least 550 MiB",
		func(n int) bool { return n == 0 || n >= minPrune })
	c.mebibytes("bitcoin.dbcache_mib", cfg.Bitcoin.DBCacheMiB, "auto or at least 4 MiB",
		func(n int) bool { return n >= minDBCache })
	c.wireguard(cfg.WireGuard)
	for i, m := range cfg.Release.Mirrors {
		if u, err := url.Parse(m); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
			c.reject(item("release.mirrors", i), "%q is not an http or https address", m)
		}
	}
}

func item(key string, i int) string { return key + "[" + strconv.Itoa(i) + "]" }

func (c *configCheck) directory(key, p string) {
	if !path.IsAbs(p) || path.Clean(p) != p || p == "/" || strings.ContainsFunc(p, unicode.IsControl) {
		c.reject(key, "%q is not the absolute path of a directory", p)
	}
}

func (c *configCheck) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		c.reject(key, "%q is not one of %s", value, strings.Join(allowed, ", "))
	}
}

func (c *configCheck) mirrors(images Images) {
	for i, m := range images.Mirrors {
		key := item("images.mirrors", i)
		if !isLocation(m.Location) {
			c.reject(key, "location %q is not a registry, as in registry.example:5000/path", m.Location)
		}
		if m.Layout != "full" && m.Layout != "flat" {
			c.reject(key, "layout %q is not one of full, flat", m.Layout)
		}
	}
	for i, m := range images.InsecureMirrors {
		if !isLocation(m) {
			c.reject(item("images.insecure_mirrors", i), "%q is not a registry, as in registry.example:5000/path", m)
		}
	}
}

func isLocation(s string) bool {
	return s != "" && !strings.Contains(s, "://") && !strings.HasSuffix(s, "/") &&
		!strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
}

func (c *configCheck) mebibytes(key, value, want string, valid func(int) bool) {
	if value == "auto" {
		return
	}
	if n, err := strconv.Atoi(value); err != nil || !valid(n) {
		c.reject(key, "%q is not %s", value, want)
	}
}

func (c *configCheck) wireguard(w WireGuard) {
	if _, err := netip.ParsePrefix(w.Address); err != nil {
		c.reject("wireguard.address", "%q is not an address with a prefix length, as in 10.77.0.1/24", w.Address)
	}
	if w.Port < 1 || w.Port > 65535 {
		c.reject("wireguard.port", "%d is not a port", w.Port)
	}
}
