package heal

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
)

// listFormat is how podman is asked for its containers.
const listFormat = "{{.ID}}|{{.Names}}|{{.State}}"

// look is one check under way.
type look struct {
	*Healer
	limits Limits
	d      Diagnosis
	// gone is the database that was not there before podman was asked; podman makes an empty one.
	gone []Finding
	list []listed
}

// listed is a container as podman lists it.
type listed struct{ id, name, state string }

// Check finds out how podman is. It changes nothing of podman's; that podman was asked in vain is noted, because only the third time counts.
func (h *Healer) Check(ctx context.Context) Diagnosis {
	l := &look{Healer: h, limits: h.Limits.orDefault(), d: Diagnosis{Schema: 1, State: OK, At: h.Now().UTC(), FirstRung: -1, Live: []Process{}}}
	found := l.findings(ctx)
	slices.SortStableFunc(found, func(a, b Finding) int { return cmp.Compare(urgency(a.State), urgency(b.State)) })
	if len(found) > 0 {
		f := found[0]
		l.d.State, l.d.Evidence, l.d.Source, l.d.Paths, l.d.Names, l.d.Also = f.State, f.Evidence, f.Source, f.Paths, f.Names, found[1:]
	}
	l.d.FirstRung = firstRung(l.d.State)
	if !l.d.State.Fine() {
		l.d.Live = h.live(ctx)
		l.d.Human = h.climbOf(Safe, l.d).advice("")
	}
	return l.d
}

// CheckStarts is Check for a podman that could not start something, and for one that a person wants healed. Where it answers all questions well, a throw-away
// container is started and stopped: some damage is met by nothing else. Only what podman says about that counts, never the words of an app; what is
// late or not known proves nothing.
func (h *Healer) CheckStarts(ctx context.Context) Diagnosis {
	d := h.Check(ctx)
	if !d.State.Fine() {
		return d
	}
	if tried := h.try(ctx, d); tried.State != Unknown {
		return tried
	}
	return d
}

// findings are asked for from the ground up: without a runtime directory, a bus or a disk that takes writes podman need not be asked.
func (l *look) findings(ctx context.Context) []Finding {
	for _, ground := range []func() *Finding{l.runtimeDir, l.userBus, l.readOnly, l.space} {
		if f := ground(); f != nil {
			return []Finding{*f}
		}
	}
	l.gone = l.databaseGone()
	answered, found := l.ask(ctx)
	if !answered {
		return append(found, l.pause()...)
	}
	found = append(found, l.facts(ctx)...)
	if f := l.socket(ctx); f != nil {
		found = append(found, *f)
	}
	return found
}

func (l *look) runtimeDir() *Finding {
	dir := l.Layout.RuntimeDir
	info, err := os.Stat(l.host(dir))
	switch {
	case err != nil:
		return &Finding{State: NoRuntimeDir, Evidence: dir + " is missing", Source: dir}
	case !info.IsDir() || info.Mode().Perm() != 0o700 || ownerOf(info) != l.User.UID:
		return &Finding{State: NoRuntimeDir, Source: dir,
			Evidence: fmt.Sprintf("%s is %s of uid %d, not drwx------ of %s", dir, info.Mode(), ownerOf(info), l.User.Name)}
	}
	return nil
}

func ownerOf(info os.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

func (l *look) userBus() *Finding {
	bus := l.Layout.UserBus()
	if err := knock(l.host(bus), l.limits.Ping); refuses(err) {
		return &Finding{State: NoUserBus, Evidence: bus + ": " + cause(err), Source: bus}
	}
	return nil
}

func (l *look) readOnly() *Finding {
	if !node.ReadOnly(l.Layout) {
		return nil
	}
	return &Finding{State: ReadOnly, Evidence: "the file system of " + l.Layout.DataDir + " is read-only", Source: l.Layout.DataDir}
}

func (l *look) space() *Finding {
	dir := l.Layout.DataDir
	free, err := node.FreeSpace(l.host(dir))
	switch {
	case err == nil && free < node.SpaceFull:
		return &Finding{State: DiskFull, Evidence: fmt.Sprintf("%d MiB are free on %s", free>>20, dir), Source: dir}
	case node.FewInodes(l.host(dir)):
		return &Finding{State: DiskFull, Evidence: fmt.Sprintf("fewer than %d inodes are free on %s", node.InodesFull, dir), Source: dir}
	}
	return nil
}

// ask lets podman tell about itself and list its containers. False: nothing of what is told can be relied on.
func (l *look) ask(ctx context.Context) (bool, []Finding) {
	began := time.Now()
	info, finding := l.podman(ctx, "info", "--format", "json")
	if finding != nil {
		return false, []Finding{*finding}
	}
	took := time.Since(began)
	l.d.AnswerMS = took.Milliseconds()
	text, finding := l.podman(ctx, "ps", "--all", "--no-trunc", "--format", listFormat)
	if finding != nil {
		return false, []Finding{*finding}
	}
	l.list = parseList(text.Stdout)
	found := l.about(info)
	if took > l.limits.Fast {
		found = append(found, Finding{State: Slow, Source: "podman info", Evidence: fmt.Sprintf("podman info took %.1f s", took.Seconds())})
	}
	return true, found
}

// about reads what podman info says: its version, and the locks that are left.
func (l *look) about(info command.Result) []Finding {
	var doc struct {
		Host struct {
			FreeLocks *int `json:"freeLocks"`
		} `json:"host"`
		Version struct{ Version string } `json:"version"`
	}
	if json.Unmarshal(info.Stdout, &doc) != nil {
		return nil
	}
	l.d.Version = doc.Version.Version
	if doc.Host.FreeLocks != nil && *doc.Host.FreeLocks == 0 {
		return []Finding{{State: LocksExhausted, Source: "podman info", Evidence: "podman info: freeLocks is 0, nothing new can be made"}}
	}
	return nil
}

// podman runs one podman command that only asks.
func (l *look) podman(ctx context.Context, args ...string) (command.Result, *Finding) {
	source := "podman " + args[0]
	res, err := l.Runner.Run(ctx, command.Cmd{Argv: append([]string{"podman"}, args...), Env: []string{"LC_ALL=C"}, Limit: l.limits.Answer})
	var late *command.LimitError
	switch {
	case err == nil:
		return res, nil
	case errors.As(err, &late):
		return res, l.unanswered(source)
	case ctx.Err() != nil:
		return res, &Finding{State: Slow, Source: source, Evidence: "the check was ended before podman answered"}
	}
	text := string(res.Stderr)
	if f, ok := Read(text, source); ok && f.State != LostTrack {
		return res, &f
	}
	return res, &Finding{State: Unknown, Source: source, Evidence: cmp.Or(errorLine(text), err.Error())}
}

// unanswered: a time-out alone proves nothing. Only the third one in ten minutes, without a reason why podman may be slow, is told as
// hung; and that is not healed either. One that the caller wanted to be shorter counts for nothing.
func (l *look) unanswered(source string) *Finding {
	if reason := busy(l.proc(), l.User.UID, l.Cores); reason != "" {
		return &Finding{State: Slow, Source: source, Evidence: fmt.Sprintf("no answer in %s; %s", l.limits.Answer, reason)}
	}
	if l.limits.Answer < l.limits.Silence {
		return &Finding{State: Slow, Source: source, Evidence: fmt.Sprintf("no answer in %s; less than %s proves nothing", l.limits.Answer, l.limits.Silence)}
	}
	n := l.remember()
	f := &Finding{State: Slow, Source: source, Evidence: fmt.Sprintf("no answer in %s, %s of 3 within ten minutes", l.limits.Answer, ordinal(n))}
	if n >= 3 {
		f.State, f.Evidence = Hung, fmt.Sprintf("no answer in %s, three times within ten minutes, and nothing explains it", l.limits.Answer)
	}
	return f
}

func ordinal(n int) string {
	return []string{"none", "the first", "the second", "the third"}[min(n, 3)]
}

func parseList(text []byte) []listed {
	var list []listed
	for line := range strings.Lines(string(text)) {
		if f := strings.Split(strings.TrimSpace(line), "|"); len(f) == 3 {
			list = append(list, listed{f[0], f[1], f[2]})
		}
	}
	return list
}

// pause looks at the process that keeps podman's namespaces, when podman fails: its pid may be another's by now.
func (l *look) pause() []Finding {
	text, err := os.ReadFile(l.host(l.pauseFile()))
	if err != nil {
		return nil
	}
	pid := strings.TrimSpace(string(text))
	if n := number(pid); n > 0 && holdsNamespace(l.proc(), n, l.User.UID) {
		return nil
	}
	return []Finding{{State: StalePause, Source: l.pauseFile(), Evidence: fmt.Sprintf("%s names pid %s, which is no podman of %s", l.pauseFile(), pid, l.User.Name)}}
}

// socket: the API refuses while the command line works.
func (l *look) socket(ctx context.Context) *Finding {
	path := l.Layout.PodmanSocket()
	client := podman.New(l.host(path))
	defer client.Close()
	client.Limits.Ping = l.limits.Ping
	if err := client.Ping(ctx); refuses(err) {
		return &Finding{State: SocketDown, Source: path, Evidence: path + ": " + cause(err)}
	}
	return nil
}
