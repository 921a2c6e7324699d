package chaos

import (
	"context"
	"fmt"
	"regexp"
	"time"
)

// diskFull: the data disk fills up, while archy has something to write. Nothing is torn, nobody who runs is restarted, and
// archy says with numbers what is wrong.
var diskFull = Scenario{
	Number: 8, Name: "disk-full", Whole: true, SmallDisk: true, Limit: always(120 * time.Second),
	Faults: []Fault{
		{"0 bytes free, during a pass that writes", func(ctx context.Context, r *Round) error { return r.full(ctx, 0, passThatWrites) }},
		{"1 MiB free, during a pass that writes", func(ctx context.Context, r *Round) error { return r.full(ctx, 1<<20, passThatWrites) }},
		{"100 MiB free, during a pull", func(ctx context.Context, r *Round) error { return r.full(ctx, 100<<20, installThatPulls) }},
		{"0 bytes free, during an upgrade", func(ctx context.Context, r *Round) error { return r.full(ctx, 0, upgradeOfOne) }},
	},
}

// work is what archy has to do when the disk is full: it is made ready before, tried while, and done after.
type work struct {
	ready func(ctx context.Context, r *Round, a App) error
	try   func(a App) []string
}

var (
	passThatWrites = work{
		ready: func(ctx context.Context, r *Round, a App) error {
			return r.user(ctx, "rm "+unitDir+"/"+a.Container+".container").Error()
		},
		try: func(App) []string { return []string{"reconcile"} },
	}
	installThatPulls = work{
		ready: func(ctx context.Context, r *Round, a App) error {
			r.sampler.allow(a.Container)
			r.Want(ctx, []int{0}, "remove", a.ID)
			return r.user(ctx, "podman rmi "+a.Image).Error()
		},
		try: func(a App) []string { return []string{"install", a.ID} },
	}
	upgradeOfOne = work{
		ready: func(context.Context, *Round, App) error { return nil },
		try:   func(a App) []string { return []string{"upgrade", a.ID, "--to", a.Image + "-next"} },
	}
)

const filler = dataDir + "/filler.of.chaos"

func (r *Round) full(ctx context.Context, free int64, w work) error {
	r.hit = r.Fleet
	a := r.leaf()
	if err := w.ready(ctx, r, a); err != nil {
		return err
	}
	if err := r.fill(ctx, free); err != nil {
		return err
	}
	r.saysFull(ctx, w.try(a))
	for _, torn := range r.torn(ctx) {
		r.Fail("while the disk is full: %s", torn)
	}
	if err := r.sh(ctx, "rm "+filler).Error(); err != nil {
		return err
	}
	r.Struck()
	r.Want(ctx, []int{0}, "reconcile")
	if args := w.try(a); args[0] == "install" {
		r.Want(ctx, []int{0}, args...)
	}
	return nil
}

// numbers is a size in a message.
var numbers = regexp.MustCompile(`[0-9]+(\.[0-9]+)? ?(B|KiB|MiB|GiB|MB|GB|bytes)`)

// saysFull: exit code 6, and how much is free.
func (r *Round) saysFull(ctx context.Context, args []string) {
	res := r.Archy(ctx, args...)
	if res.Code != 6 {
		r.Fail("archy %s on a full disk: exit code %d, want 6: %s", args[0], res.Code, lastLines(res.Stderr+res.Stdout, 4))
	}
	if text := res.Stdout + res.Stderr; !numbers.MatchString(text) {
		r.Fail("archy %s on a full disk gives no numbers: %s", args[0], lastLines(text, 4))
	}
}

// fill leaves so many bytes of the data disk.
func (r *Round) fill(ctx context.Context, free int64) error {
	script := fmt.Sprintf(`avail=$(df --output=avail -B1 %[1]s | tail -1)
fallocate -l $((avail - %[3]d - 8388608)) %[2]s
left=$(($(df --output=avail -B1 %[1]s | tail -1) - %[3]d)); [ $left -le 0 ] || head -c $left /dev/zero >>%[2]s || true
sync -f %[1]s`, dataDir, filler, free)
	return r.sh(ctx, script).Error()
}
