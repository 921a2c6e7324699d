package registry

import (
	"io/fs"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// nginx is laid out like the official image, around Debian's program.
var nginx = recipe{
	nginx:  true,
	alpine: true,
	config: v1.Config{
		Entrypoint: []string{"/docker-entrypoint.sh"}, Cmd: []string{"nginx", "-g", "daemon off;"},
		ExposedPorts: all("80/tcp"), StopSignal: "SIGQUIT", Env: []string{pathEnv, "NGINX_VERSION=1.28.0"},
	},
	files: Files{
		"/docker-entrypoint.sh":            {Data: []byte("#!/bin/sh\nset -e\nexec \"$@\"\n"), Mode: 0o755},
		"/etc/nginx/nginx.conf":            {Data: []byte(nginxConf), Mode: 0o644},
		"/etc/nginx/conf.d/default.conf":   {Data: []byte(nginxDefault), Mode: 0o644},
		"/usr/share/nginx/html/index.html": {Data: []byte("<!doctype html><title>Welcome to nginx!</title>\n"), Mode: 0o644},
		"/usr/share/nginx/html/50x.html":   {Data: []byte("<!doctype html><title>Error</title>\n"), Mode: 0o644},
		"/var/log/nginx/access.log":        {Link: "/dev/stdout"},
		"/var/log/nginx/error.log":         {Link: "/dev/stderr"},
		"/var/cache/nginx":                 {Mode: fs.ModeDir | 0o755},
	},
}

const nginxConf = `user  nginx;
worker_processes  1;
error_log  /var/log/nginx/error.log notice;
pid        /run/nginx.pid;

events {
    worker_connections  1024;
}

http {
    include       /etc/nginx/mime.types;
    default_type  application/octet-stream;
    access_log  /var/log/nginx/access.log;
    sendfile        on;
    keepalive_timeout  65;
    client_body_temp_path /var/cache/nginx/client_temp;
    proxy_temp_path       /var/cache/nginx/proxy_temp;
    fastcgi_temp_path     /var/cache/nginx/fastcgi_temp;
    uwsgi_temp_path       /var/cache/nginx/uwsgi_temp;
    scgi_temp_path        /var/cache/nginx/scgi_temp;
    include /etc/nginx/conf.d/*.conf;
}
`

const nginxDefault = `server {
    listen       80;
    server_name  localhost;
    location / {
        root   /usr/share/nginx/html;
        index  index.html index.htm;
    }
}
`
