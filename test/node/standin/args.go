package main

import (
	"bufio"
	"os"
	"strings"
)

// flags reads -name=value and --name=value; the rest are words. A name given twice keeps both values.
func flags(args []string) (named map[string][]string, words []string) {
	named = map[string][]string{}
	for _, a := range args {
		if !strings.HasPrefix(a, "-") || a == "-" {
			words = append(words, a)
			continue
		}
		name, value, ok := strings.Cut(strings.TrimLeft(a, "-"), "=")
		if !ok {
			value = "1"
		}
		named[name] = append(named[name], value)
	}
	return named, words
}

// readConf reads name=value lines; # and ; start comments, and [section] lines are passed over.
func readConf(file string) (map[string][]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	conf := map[string][]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if line == "" || strings.ContainsRune("#;[", rune(line[0])) {
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		conf[name] = append(conf[name], strings.TrimSpace(value))
	}
	return conf, nil
}

// first returns the first value of a name, or a default.
func first(conf map[string][]string, name, otherwise string) string {
	if v := conf[name]; len(v) > 0 {
		return v[0]
	}
	return otherwise
}

func env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
