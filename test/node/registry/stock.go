package registry

import (
	"io/fs"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Stock is what stand-in images are made of.
type Stock struct {
	standin, busybox v1.Layer
	nginx            v1.Layer
}

// where the parts are inside the images
const (
	busyboxPath = "/bin/busybox"
	standinPath = "/usr/local/libexec/standin"
	pathEnv     = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// applets are the everyday commands of every image. wget and nc are extra: see recipe.alpine.
const applets = "sh ash [ awk base64 basename cat chmod chown chgrp cmp cp cut date dd df diff dirname du echo egrep " +
	"env expr false fgrep find grep head hostname id install kill killall less ln ls md5sum mkdir mkfifo mktemp mv " +
	"nproc od pgrep pidof pkill printf ps pwd readlink realpath rm rmdir sed seq sha256sum sleep sort stat sync tail " +
	"tar tee test timeout touch tr true truncate uname uniq vi wc which whoami xargs yes"

// NewStock takes the stand-in program, a static busybox, and the files of an nginx.
func NewStock(standin, busybox []byte, nginx Files) (*Stock, error) {
	base := Files{
		busyboxPath:   {Data: busybox, Mode: 0o755},
		"/etc/passwd": {Data: []byte(passwd), Mode: 0o644},
		"/etc/group":  {Data: []byte(group), Mode: 0o644},
		"/root":       {Mode: fs.ModeDir | 0o700},
		"/tmp":        {Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		"/var/tmp":    {Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		"/run":        {Mode: fs.ModeDir | 0o755},
	}
	for _, name := range strings.Fields(applets) {
		base["/bin/"+name] = File{Link: busyboxPath}
	}
	var s Stock
	var err error
	if s.busybox, err = base.Layer(); err != nil {
		return nil, err
	}
	if s.standin, err = (Files{standinPath: {Data: standin, Mode: 0o755}}).Layer(); err != nil {
		return nil, err
	}
	s.nginx, err = nginx.Layer()
	return &s, err
}

const passwd = `root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www-data:/var/www:/bin/false
postgres:x:70:70:postgres:/var/lib/postgresql:/bin/false
nginx:x:101:101:nginx:/var/cache/nginx:/bin/false
mysql:x:999:999:mysql:/var/lib/mysql:/bin/false
node:x:1000:1000:node:/home/node:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
`

const group = `root:x:0:
www-data:x:33:
postgres:x:70:
nginx:x:101:
mysql:x:999:
node:x:1000:
nobody:x:65534:
`

// recipe is how the stand-in for one upstream image differs from the others.
type recipe struct {
	config v1.Config
	// standins are the paths where the stand-in program is.
	standins []string
	// alpine images have busybox's wget and nc, others have neither.
	alpine bool
	files  Files
	// nginx is the real one from Debian instead of a stand-in.
	nginx bool
}

// image builds one; label and env make variants of it.
func (s *Stock) image(r recipe, env ...string) (v1.Image, error) {
	files := Files{}
	for name, f := range r.files {
		files[name] = f
	}
	for _, name := range r.standins {
		files[name] = File{Link: standinPath}
	}
	if r.alpine {
		files["/usr/bin/wget"] = File{Link: busyboxPath}
		files["/usr/bin/nc"] = File{Link: busyboxPath}
	}
	layers := []v1.Layer{s.busybox, s.standin}
	if r.nginx {
		layers = []v1.Layer{s.busybox, s.nginx}
	}
	if len(files) > 0 {
		own, err := files.Layer()
		if err != nil {
			return nil, err
		}
		layers = append(layers, own)
	}
	config := r.config
	config.Env = append(append([]string{}, config.Env...), env...)
	if !hasPath(config.Env) {
		config.Env = append([]string{pathEnv}, config.Env...)
	}
	return Image(config, layers...)
}

func hasPath(env []string) bool {
	for _, e := range env {
		if strings.HasPrefix(e, "PATH=") {
			return true
		}
	}
	return false
}
