package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	mariadbDir = "/var/lib/mysql"
	mysqlID    = 999 // the image's user mysql
)

// mariadbd is the image's entrypoint and the server in one: as root it gives the data directory to mysql and becomes
// it; at the first start it needs passwords, later it uses those of the first.
func mariadbd([]string) int {
	srv := &server{name: "mariadbd", data: mariadbDir}
	if readFaults(srv.data).fail != 0 {
		return srv.run()
	}
	if err := becomeMySQL(); err != nil {
		say("mariadbd: %v", err)
		return 1
	}
	if err := initialise(); err != nil {
		say("[ERROR] [Entrypoint]: %v", err)
		return 1
	}
	srv.ports = []port{tcp(":3306", func(l net.Listener) { databaseServe(l) })}
	return srv.run()
}

func becomeMySQL() error {
	if os.Getuid() != 0 {
		return nil
	}
	if err := os.Chown(mariadbDir, mysqlID, mysqlID); err != nil {
		return err
	}
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setgid(mysqlID); err != nil {
		return err
	}
	return syscall.Setuid(mysqlID)
}

// initialise makes the database: user and a digest of the password, and the file that says which version wrote it.
func initialise() error {
	if _, err := os.Stat(loginsFile()); err == nil {
		return nil
	}
	user, pass, root := os.Getenv("MARIADB_USER"), os.Getenv("MARIADB_PASSWORD"), os.Getenv("MARIADB_ROOT_PASSWORD")
	if root == "" {
		return fmt.Errorf("database is uninitialized and password option is not specified: MARIADB_ROOT_PASSWORD")
	}
	if user == "" || pass == "" {
		return fmt.Errorf("database is uninitialized: MARIADB_USER and MARIADB_PASSWORD are needed")
	}
	version := filepath.Join(mariadbDir, "mariadb_upgrade_info")
	if err := os.WriteFile(version, []byte("10.11.11-MariaDB"), 0o640); err != nil {
		return err
	}
	text := fmt.Sprintf("root %s\n%s %s\n", digest(root), user, digest(pass))
	return os.WriteFile(loginsFile(), []byte(text), 0o600)
}

func loginsFile() string { return filepath.Join(mariadbDir, "logins") }

// databaseServe speaks a protocol of its own: the client sends a user and a digest of the password, the answer is ok
// or an error in MariaDB's words. A client that only connects is greeted, as by the real one.
func databaseServe(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			fmt.Fprintln(c, "5.5.5-10.11.11-MariaDB")
			line, err := bufio.NewReader(c).ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprintln(c, login(strings.TrimSpace(line)))
		}()
	}
}

func login(line string) string {
	logins, _ := os.ReadFile(loginsFile())
	for known := range strings.Lines(string(logins)) {
		if strings.TrimSpace(known) == line {
			return "ok"
		}
	}
	user, _, _ := strings.Cut(line, " ")
	return fmt.Sprintf("Access denied for user '%s' (using password: YES)", user)
}

// databaseLogin tries a login.
func databaseLogin(ctx context.Context, addr, user, pass string) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(deadline)
	}
	r := bufio.NewReader(c)
	if _, err := r.ReadString('\n'); err != nil {
		return err
	}
	fmt.Fprintf(c, "%s %s\n", user, digest(pass))
	reply, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	if reply = strings.TrimSpace(reply); reply != "ok" {
		return fmt.Errorf("%s", reply)
	}
	return nil
}
