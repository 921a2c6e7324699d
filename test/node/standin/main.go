// Standin is one static program that stands in for the servers of a node's images and for the tools that their
// health checks run. The name that it is called by decides which one it is.
//
// A server listens where the real one does, keeps something in its data directory, checks the passwords that it is
// given, and can be told to misbehave: see faults.go.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// roles are the names that the program answers to. A role gets its arguments and returns an exit code.
var roles = map[string]func(args []string) int{
	// servers
	"bitcoind":       bitcoind,
	"lnd":            lnd,
	"mariadbd":       mariadbd,
	"wait-for-it.sh": waitForIt,
	"start.sh":       mempoolAPI,
	"init":           electrumx, // the image's own name for it
	"nginx":          mempoolWeb,
	"filebrowser":    filebrowser,
	"server":         generic,
	// tools
	"bash":          bash,
	"bitcoin-cli":   bitcoinCLI,
	"createdb":      createdb,
	"curl":          curl,
	"lncli":         lncli,
	"mariadb-admin": tcpTool("3306"),
	"pg_isready":    tcpTool("5432"),
	"psql":          psql,
	"python3":       python3,
	"redis-cli":     tcpTool("6379"),
	"healthcheck":   healthcheck,
}

func main() {
	name := filepath.Base(os.Args[0])
	os.Exit(role(name)(os.Args[1:]))
}

// role finds the role of a name. Of an image that nothing particular is known of, the first process is its server and
// any other a health tool.
func role(name string) func([]string) int {
	if strings.HasSuffix(name, "entrypoint.sh") {
		return entrypoint
	}
	if role, ok := roles[name]; ok {
		return role
	}
	if os.Getpid() == 1 {
		return generic
	}
	return healthcheck
}

// entrypoint is an image's script that prepares something and then runs its arguments.
func entrypoint(args []string) int {
	if len(args) == 0 {
		say("entrypoint: no command")
		return 127
	}
	file, err := exec.LookPath(args[0])
	if err == nil {
		err = syscall.Exec(file, args, os.Environ())
	}
	say("entrypoint: %s: %v", args[0], err)
	return 127
}

// say writes a log line, which podman gives to the journal.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
