package heal

import (
	"bytes"
	"cmp"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// payloadCgroup is the control group of a container's own processes, with its id.
var payloadCgroup = regexp.MustCompile(`/libpod-(?:payload-)?([0-9a-f]{64})(?:\.scope)?(?:/|$)`)

// task is a process as /proc shows it.
type task struct {
	pid, parent, uid int
	args             []string
	cgroup           string
}

// Monitors finds the containers of a user that live, by /proc and not by podman: their conmon, or what is left of one without.
// Nothing is known yet of their services.
func Monitors(proc string, uid int) []Process {
	tasks := readTasks(proc)
	var live []Process
	watched := map[string]bool{}
	for _, t := range tasks {
		if t.uid != uid || len(t.args) == 0 || path.Base(t.args[0]) != "conmon" {
			continue
		}
		if slices.Contains(t.args, "--exec-process-spec") {
			continue // of a command in a container: podman keeps it for minutes, also when the container is gone
		}
		p := Process{PID: t.pid, Payload: childOf(tasks, t.pid), Name: after(t.args, "-n"), Container: after(t.args, "-c"), Cgroup: t.cgroup}
		watched[p.Container] = true
		live = append(live, p)
	}
	for _, t := range tasks {
		m := payloadCgroup.FindStringSubmatch(t.cgroup)
		if m == nil || watched[m[1]] || !strings.Contains(t.cgroup, "/user-"+strconv.Itoa(uid)+".slice/") {
			continue
		}
		watched[m[1]] = true // the lowest pid is the first process
		live = append(live, Process{PID: t.pid, Payload: t.pid, Name: "container " + m[1][:12], Container: m[1], Cgroup: t.cgroup})
	}
	slices.SortFunc(live, func(a, b Process) int { return cmp.Compare(a.Name, b.Name) })
	return live
}

func readTasks(proc string) []task {
	dirs, _ := os.ReadDir(proc)
	var tasks []task
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		if t, ok := readTask(filepath.Join(proc, d.Name()), pid); ok {
			tasks = append(tasks, t)
		}
	}
	slices.SortFunc(tasks, func(a, b task) int { return cmp.Compare(a.pid, b.pid) })
	return tasks
}

func readTask(dir string, pid int) (task, bool) {
	info, err := os.Stat(dir)
	if err != nil {
		return task{}, false
	}
	t := task{pid: pid, uid: -1}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		t.uid = int(st.Uid)
	}
	args, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil || len(args) == 0 {
		return task{}, false // a thread of the kernel, or a zombie: it holds nothing
	}
	t.args = strings.Split(strings.TrimSuffix(string(args), "\x00"), "\x00")
	stat, _ := os.ReadFile(filepath.Join(dir, "stat"))
	if i := bytes.LastIndexByte(stat, ')'); i >= 0 {
		if f := strings.Fields(string(stat[i+1:])); len(f) > 1 {
			t.parent, _ = strconv.Atoi(f[1])
		}
	}
	t.cgroup = unified(filepath.Join(dir, "cgroup"))
	return t, true
}

// unified is a process's path in the cgroup v2 tree.
func unified(file string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return rest
		}
	}
	return ""
}

func childOf(tasks []task, pid int) int {
	for _, t := range tasks {
		if t.parent == pid && path.Base(t.args[0]) != "podman" {
			return t.pid
		}
	}
	return 0
}

// after is the word that follows a flag.
func after(args []string, flag string) string {
	if i := slices.Index(args, flag); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

// holdsNamespace tells that a pid is a live podman process of the user: the one that keeps its namespaces.
func holdsNamespace(proc string, pid, uid int) bool {
	t, ok := readTask(filepath.Join(proc, strconv.Itoa(pid)), pid)
	return ok && t.uid == uid && slices.Contains([]string{"podman", "catatonit"}, path.Base(strings.Fields(t.args[0] + " ")[0]))
}

// busy gives a reason why podman may be slow without being broken: a podman process in disk wait, a pull, or a load above four times
// the cores.
func busy(proc string, uid, cores int) string {
	for _, t := range readTasks(proc) {
		if t.uid != uid || path.Base(t.args[0]) != "podman" {
			continue
		}
		stat, _ := os.ReadFile(filepath.Join(proc, strconv.Itoa(t.pid), "stat"))
		if i := bytes.LastIndexByte(stat, ')'); i >= 0 && strings.HasPrefix(string(stat[i+1:]), " D") {
			return "podman (pid " + strconv.Itoa(t.pid) + ") waits for the disk"
		}
		if len(t.args) > 1 && (t.args[1] == "pull" || t.args[1] == "load" || t.args[1] == "build") {
			return "podman " + t.args[1] + " runs (pid " + strconv.Itoa(t.pid) + ")"
		}
	}
	text, _ := os.ReadFile(filepath.Join(proc, "loadavg"))
	f := strings.Fields(string(text))
	if len(f) == 0 {
		return ""
	}
	if load, err := strconv.ParseFloat(f[0], 64); err == nil && cores > 0 && load > 4*float64(cores) {
		return "the load is " + f[0] + " on " + strconv.Itoa(cores) + " cores"
	}
	return ""
}

// Payload is the first process of the container that a conmon watches; 0 when it has ended and only podman cleans up after it.
func Payload(proc string, conmon int) int { return childOf(readTasks(proc), conmon) }
