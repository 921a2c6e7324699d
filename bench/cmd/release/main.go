// Command release measures archy release beside tar and sha256sum on the same files, and how much memory a check of a
// large archive takes. It prints one table, from one run.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	archy := flag.String("archy", "bin/archy", "the program that is measured")
	results := flag.String("results", "", "write the table to this file")
	megabytes := flag.Int("size", 600, "size of the tree, MB")
	rounds := flag.Int("rounds", 3, "how often each command runs, in turn")
	flag.Parse()
	if err := run(*archy, *results, *megabytes, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(archy, results string, megabytes, rounds int) error {
	archy, err := filepath.Abs(archy)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("/var/tmp", "archy-bench-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tree, err := makeTree(dir, archy, int64(megabytes)*1_000_000)
	if err != nil {
		return err
	}
	b := &bench{dir: dir, archy: archy, rounds: rounds}
	if err := b.measure(); err != nil {
		return err
	}
	text := fmt.Sprintf("# Building and checking a release\n\nOne run of `make bench-release` on %d cores. The tree: %s. Medians of %d rounds in which the commands take turns.\n\n%s",
		runtime.NumCPU(), tree, rounds, b.table())
	fmt.Print(text)
	if results == "" {
		return nil
	}
	return os.WriteFile(results, []byte(text), 0o644)
}

// bench is one run.
type bench struct {
	dir, archy string
	rounds     int
	rows       [][]string
}

// spent is what one command took.
type spent struct {
	wall, cpu time.Duration
	peak      int64 // bytes of memory
}

// timed runs a command in the directory of the run. Writing back what the one before wrote is not its work.
func (b *bench) timed(command string) (spent, error) {
	syscall.Sync()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-euc", command)
	cmd.Dir = b.dir
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return spent{}, fmt.Errorf("%s: %w\n%s", command, err, out)
	}
	use := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return spent{time.Since(start), cmd.ProcessState.SystemTime() + cmd.ProcessState.UserTime(), use.Maxrss << 10}, nil
}

// compare runs ours and theirs in turn and adds a row.
func (b *bench) compare(what, ours, theirs, name, must string, ok func(ratio float64) bool) error {
	var a, r []spent
	for range b.rounds {
		for _, one := range []struct {
			command string
			to      *[]spent
		}{{theirs, &r}, {ours, &a}} {
			s, err := b.timed(one.command)
			if err != nil {
				return err
			}
			*one.to = append(*one.to, s)
		}
	}
	own, other := median(a), median(r)
	ratio := other.wall.Seconds() / own.wall.Seconds()
	b.add([]string{what, seconds(own), name + " " + seconds(other), fmt.Sprintf("%.2f x faster", ratio), must, verdict(ok(ratio))})
	return nil
}

func (b *bench) measure() error {
	create := b.archy + " release create --version 1.2.3 --date 2026-01-01 --base-url https://updates.example/v1.2.3 --frontend dist --binary archipelago --aiui aiui --apps apps --catalog catalog.json --changelog news.txt --out out"
	err := b.compare("create", create, "tar czf out.tgz -C dist . && sha256sum out.tgz archipelago", "tar czf + sha256sum", "at least 3 x", func(r float64) bool { return r >= 3 })
	if err != nil {
		return err
	}
	const archive = "out/archipelago-frontend-1.2.3.tar.gz"
	theirs := "tar tzf " + archive + " > list && sha256sum " + archive
	check := b.archy + " release verify-tarball "
	for _, row := range []struct{ what, command string }{
		{"verify-tarball", check + archive},
		{"verify-tarball, every file's digest", check + "--manifest out/manifest.json " + archive},
	} {
		if err := b.compare(row.what, row.command, theirs, "tar tzf + sha256sum", "not slower", func(r float64) bool { return r >= 1 }); err != nil {
			return err
		}
	}
	return b.memory(check)
}

// memory checks an archive of 5 GB.
func (b *bench) memory(check string) error {
	const unpacked = 5_000_000_000
	file := filepath.Join(b.dir, "large.tar.gz")
	if err := makeLarge(file, unpacked); err != nil {
		return err
	}
	s, err := b.timed("exec " + check + "--max-size 20Gi " + file)
	if err != nil {
		return err
	}
	b.add([]string{"memory of verify-tarball, 5 GB unpacked", fmt.Sprintf("%.1f MB", float64(s.peak)/1e6), "", "", "below 64 MB", verdict(s.peak < 64_000_000)})
	return nil
}

// add keeps a row, and shows it: the others take minutes.
func (b *bench) add(row []string) {
	b.rows = append(b.rows, row)
	fmt.Fprintln(os.Stderr, strings.Join(row, "  "))
}

func median(list []spent) spent {
	slices.SortFunc(list, func(a, b spent) int { return int(a.wall - b.wall) })
	return list[len(list)/2]
}

func seconds(s spent) string {
	return fmt.Sprintf("%.2f s (%.2f s of processor)", s.wall.Seconds(), s.cpu.Seconds())
}

func verdict(ok bool) string {
	if ok {
		return "ok"
	}
	return "NO"
}

func (b *bench) table() string {
	var t strings.Builder
	t.WriteString("| what | archy | reference | ratio | must reach | |\n|---|---|---|---|---|---|\n")
	for _, row := range b.rows {
		t.WriteString("| " + strings.Join(row, " | ") + " |\n")
	}
	return t.String()
}
