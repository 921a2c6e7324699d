package main

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// databases is the file in the data of a PostgreSQL that has a name of a database a line. The one of POSTGRES_DB is there
// from the first start.
const databases = "databases"

func databaseFile() string { return filepath.Join(os.Getenv("STANDIN_DATA"), databases) }

func databaseNames() []string {
	text, _ := os.ReadFile(databaseFile())
	return append([]string{os.Getenv("POSTGRES_DB")}, strings.Fields(string(text))...)
}

// pgLogin takes -U, -O and -d away and tells what the server says to them; the rest are the arguments.
func pgLogin(tool string, args []string) (rest []string, code int) {
	user, database := "root", os.Getenv("POSTGRES_DB")
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-U" && i+1 < len(args):
			i++
			user = args[i]
		case a == "-d" && i+1 < len(args):
			i++
			database = args[i]
		case a == "-O" && i+1 < len(args):
			i++ // the only role owns everything
		default:
			rest = append(rest, a)
		}
	}
	switch {
	case connect(net.JoinHostPort("127.0.0.1", cmp.Or(os.Getenv("PGPORT"), "5432"))) != 0:
		return nil, 2
	case user != os.Getenv("POSTGRES_USER"):
		say("%s: error: connection to server failed: FATAL:  role %q does not exist", tool, user)
		return nil, 2
	case !slices.Contains(databaseNames(), database):
		say("%s: error: connection to server failed: FATAL:  database %q does not exist", tool, database)
		return nil, 2
	}
	return rest, 0
}

var whetherDatabase = regexp.MustCompile(`^SELECT 1 FROM pg_database WHERE datname='([^']+)'$`)

// psql knows one question: whether there is a database of a name.
func psql(args []string) int {
	rest, code := pgLogin("psql", args)
	if code != 0 {
		return code
	}
	if len(rest) == 2 && rest[0] == "-tAc" {
		if m := whetherDatabase.FindStringSubmatch(rest[1]); m != nil {
			if slices.Contains(databaseNames(), m[1]) {
				fmt.Println("1")
			}
			return 0
		}
	}
	say("psql: this stand-in cannot run %q", rest)
	return 1
}

// createdb makes a database, once.
func createdb(args []string) int {
	rest, code := pgLogin("createdb", args)
	if code != 0 {
		return 1
	}
	if len(rest) != 1 || slices.Contains(databaseNames(), rest[0]) {
		say("createdb: error: database creation failed: ERROR:  database %q already exists", strings.Join(rest, " "))
		return 1
	}
	f, err := os.OpenFile(databaseFile(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err == nil {
		_, err = fmt.Fprintln(f, rest[0])
		f.Close()
	}
	if err != nil {
		say("createdb: error: %v", err)
		return 1
	}
	return 0
}
