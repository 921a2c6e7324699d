package reconcile

import (
	"cmp"
	"slices"
	"sync"
)

// schedule runs operations side by side: each after those that it waits for, as many at once as its lane has room for, and of
// those that could run the one with the lowest rank first.
type schedule struct {
	do func(op Operation, leave func())

	mu      sync.Mutex
	waiting []Operation // by rank
	open    map[int]bool
	room    map[lane]int
	all     sync.WaitGroup
}

// lane is a kind of work that has a limit of its own.
type lane string

const (
	laneApps  lane = "apps"
	lanePulls lane = "pulls"
)

func laneOf(op Operation) lane {
	if op.Kind == PullImage || op.Kind == BuildImage {
		return lanePulls
	}
	return laneApps
}

func newSchedule(ops []Operation, rank func(Operation) int, parallel int) *schedule {
	s := &schedule{waiting: slices.Clone(ops), open: map[int]bool{}, room: map[lane]int{laneApps: max(parallel, 1), lanePulls: 2}}
	slices.SortStableFunc(s.waiting, func(a, b Operation) int { return cmp.Compare(rank(a), rank(b)) })
	for _, op := range ops {
		s.open[op.N] = true
	}
	return s
}

// run comes back when each operation has ended. An operation that calls leave makes room for another before its end.
func (s *schedule) run(do func(op Operation, leave func())) {
	s.do = do
	s.change(func() {})
	s.all.Wait()
}

// change begins what can be begun after something has changed.
func (s *schedule) change(what func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what()
	s.waiting = slices.DeleteFunc(s.waiting, func(op Operation) bool {
		in := laneOf(op)
		if s.room[in] == 0 || slices.ContainsFunc(op.After, func(n int) bool { return s.open[n] }) {
			return false
		}
		s.room[in]--
		s.all.Go(func() { s.one(op, in) })
		return true
	})
}

// one runs an operation. Room that it has not left before is free at the moment at which what waited for it may begin.
func (s *schedule) one(op Operation, in lane) {
	left := false
	leave := func() {
		if !left {
			left = true
			s.room[in]++
		}
	}
	s.do(op, func() { s.change(leave) })
	s.change(func() {
		leave()
		delete(s.open, op.N)
	})
}
