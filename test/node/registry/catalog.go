package registry

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Variants of every stand-in, as a suffix of its tag.
const (
	Bad  = "-bad"  // ends at once with code 1 and a line of error
	Sick = "-sick" // runs, and is never healthy
	Next = "-next" // another image that works as well: an upgrade
)

var variants = map[string]string{
	"":   "",
	Bad:  "STANDIN_FAIL=exit:1",
	Sick: "STANDIN_UNHEALTHY=1",
	Next: "STANDIN_VARIANT=next",
}

// Stock fills the registry with a stand-in, and its variants, for each image that is wanted.
func (s *Server) Stock(stock *Stock, wanted []Wanted) error {
	for _, w := range wanted {
		r := recipeFor(w)
		for suffix, env := range variants {
			var extra []string
			if env != "" {
				extra = []string{env}
			}
			img, err := stock.image(r, extra...)
			if err != nil {
				return fmt.Errorf("stand-in for %s: %w", w.Ref, err)
			}
			if err := s.Add(w.Ref+suffix, img); err != nil {
				return err
			}
		}
	}
	return nil
}

// recipeFor knows the images that the shipped apps use; anything else becomes a server on the ports of its app.
func recipeFor(w Wanted) recipe {
	name, tag := split(w.Ref)
	switch name {
	case "docker.io/library/mariadb":
		return mariadb
	case "docker.io/library/nginx":
		return nginx
	case "ghcr.io/retropex/bitcoin":
		return bitcoinKnots
	case "docker.io/bitcoin/bitcoin":
		return bitcoinCore(tag)
	case "docker.io/lightninglabs/lnd":
		return lnd
	case "docker.io/lukechilds/electrumx":
		return electrumx
	case "docker.io/mempool/backend":
		return mempoolBackend
	case "docker.io/mempool/frontend":
		return mempoolFrontend
	case "docker.io/filebrowser/filebrowser":
		return filebrowser
	}
	return generic(w)
}

type set = map[string]struct{}

func all(names ...string) set {
	s := set{}
	for _, n := range names {
		s[n] = struct{}{}
	}
	return s
}

var mariadb = recipe{
	config: v1.Config{
		Entrypoint: []string{"docker-entrypoint.sh"}, Cmd: []string{"mariadbd"},
		Volumes: all("/var/lib/mysql"), ExposedPorts: all("3306/tcp"),
		Env: []string{pathEnv, "GOSU_VERSION=1.17", "LANG=C.UTF-8", "MARIADB_VERSION=1:10.11.11+maria~ubu2204"},
	},
	standins: []string{"/usr/local/bin/docker-entrypoint.sh", "/usr/sbin/mariadbd", "/usr/bin/mariadb-admin", "/usr/bin/bash"},
	files:    Files{"/var/lib/mysql": {Mode: fs.ModeDir | 0o755, UID: 999, GID: 999}},
}

var bitcoinKnots = recipe{
	config: v1.Config{
		Entrypoint: []string{"/entrypoint.sh"}, Cmd: []string{"bitcoind"},
		Volumes: all("/data/.bitcoin"), ExposedPorts: all("8332/tcp", "8333/tcp"),
	},
	standins: []string{"/entrypoint.sh", "/usr/local/bin/bitcoind", "/usr/local/bin/bitcoin-cli"},
}

func bitcoinCore(tag string) recipe {
	dir := "/opt/bitcoin-" + strings.SplitN(tag, "-", 2)[0] + "/bin"
	return recipe{
		config: v1.Config{
			Entrypoint: []string{"/entrypoint.sh"}, Cmd: []string{"bitcoind"},
			Volumes: all("/home/bitcoin/.bitcoin"), ExposedPorts: all("8332/tcp", "8333/tcp"),
			Env: []string{"BITCOIN_DATA=/home/bitcoin/.bitcoin", strings.Replace(pathEnv, "=", "="+dir+":", 1)},
		},
		standins: []string{"/entrypoint.sh", dir + "/bitcoind", dir + "/bitcoin-cli"},
	}
}

var lnd = recipe{
	config: v1.Config{
		Entrypoint: []string{"lnd"}, Volumes: all("/root/.lnd"), ExposedPorts: all("9735/tcp", "10009/tcp"),
	},
	standins: []string{"/bin/lnd", "/bin/lncli", "/bin/bash"},
	alpine:   true,
}

var electrumx = recipe{
	config: v1.Config{
		Cmd: []string{"init"}, Volumes: all("/data"), WorkingDir: "/",
		ExposedPorts: all("50001/tcp", "50002/tcp", "50004/tcp", "8000/tcp"),
		Env:          []string{pathEnv, "ALLOW_ROOT=1", "DB_DIRECTORY=/data", "SERVICES=tcp://:50001,rpc://127.0.0.1:8000"},
	},
	standins: []string{"/usr/local/bin/init", "/usr/local/bin/python3"},
	alpine:   true,
}

var mempoolBackend = recipe{
	config: v1.Config{
		WorkingDir: "/backend", User: "1000", Cmd: []string{"/backend/start.sh"}, ExposedPorts: all("8999/tcp"),
	},
	standins: []string{"/backend/wait-for-it.sh", "/backend/start.sh", "/usr/bin/bash"},
	files:    Files{"/backend/cache": {Mode: fs.ModeDir | 0o755, UID: 1000, GID: 1000}},
}

var mempoolFrontend = recipe{
	config: v1.Config{
		WorkingDir: "/patch", User: "1000", Entrypoint: []string{"/patch/entrypoint.sh"},
		Cmd: []string{"nginx", "-g", "daemon off;"}, ExposedPorts: all("8080/tcp"), StopSignal: "SIGTERM",
	},
	standins: []string{"/patch/entrypoint.sh", "/usr/sbin/nginx"},
	alpine:   true,
}

var filebrowser = recipe{
	config: v1.Config{
		Entrypoint: []string{"/filebrowser"}, Volumes: all("/srv"), ExposedPorts: all("80/tcp"),
	},
	standins: []string{"/filebrowser"},
	files:    Files{"/srv": {Mode: fs.ModeDir | 0o755}},
	alpine:   true,
}

// toolPorts are those that a health tool asks: the servers publish none on the host.
var toolPorts = map[string]string{"pg_isready": "5432", "redis-cli": "6379"}

// users are those of the real images that run as somebody else than root and that no manifest names: only they can write the data.
var users = map[string]string{"grafana": "472:0"}

// generic listens on the app's ports, keeps its data in the app's first volume, and has every health tool.
func generic(w Wanted) recipe {
	ports := w.Ports
	for _, program := range w.Programs {
		if port := toolPorts[path.Base(program)]; port != "" && !slices.Contains(ports, port) {
			ports = append(slices.Clone(ports), port)
		}
	}
	r := recipe{
		config: v1.Config{
			Entrypoint: []string{"server"}, ExposedPorts: set{}, User: users[w.Name],
			Env: []string{"STANDIN_NAME=" + w.Name, "STANDIN_PORTS=" + strings.Join(ports, ","), "STANDIN_DATA=" + w.Data},
		},
		standins: []string{"/usr/local/bin/server", "/usr/bin/bash", "/usr/bin/curl", "/usr/bin/pg_isready", "/usr/bin/redis-cli"},
		alpine:   true,
	}
	for _, p := range ports {
		if !strings.Contains(p, "/") {
			p += "/tcp"
		}
		r.config.ExposedPorts[p] = struct{}{}
	}
	for _, program := range w.Programs {
		if !strings.HasPrefix(program, "/") {
			program = "/usr/local/bin/" + program
		}
		r.standins = append(r.standins, program)
	}
	if slices.Contains(w.Programs, "pg_isready") {
		r.standins = append(r.standins, "/usr/local/bin/psql", "/usr/local/bin/createdb")
	}
	return r
}
