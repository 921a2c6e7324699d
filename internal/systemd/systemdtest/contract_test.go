package systemdtest

import (
	"sync"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

// world plays the units of Contract in memory.
type world struct {
	*Manager

	mu    sync.Mutex
	files map[string]Kind
}

func newFake(testing.TB) World {
	w := &world{Manager: New(), files: map[string]Kind{}}
	w.OnReload = w.generate
	w.Condition = func(unit string) bool { return w.kind(unit) != Unwanted }
	w.OnStart = w.start
	return w
}

func (w *world) User() User { return w.Manager }

func (w *world) Write(_ testing.TB, name string, kind Kind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files[name] = kind
}

func (w *world) Delete(_ testing.TB, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.files, name)
}

func (w *world) kind(name string) Kind {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.files[name]
}

func (w *world) generate() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range w.Loaded() {
		if _, ok := w.files[name]; !ok {
			w.Unload(name)
		}
	}
	for name, kind := range w.files {
		w.Load(name, "/units/"+name, "")
		if kind == Invalid {
			w.Update(name, func(d *systemd.Detail) { d.LoadState = "bad-setting" })
		}
	}
	return nil
}

func (w *world) start(unit string) error {
	switch w.kind(unit) {
	case Breaks:
		return Result(systemd.ResultFailed)
	case Loops:
		time.AfterFunc(50*time.Millisecond, func() { w.GiveUp(unit, 3) })
	case Slow:
		time.Sleep(time.Second)
	default:
		w.Log(unit, "ready")
	}
	return nil
}

func TestFakeKeepsContract(t *testing.T) {
	Contract(t, newFake)
}
