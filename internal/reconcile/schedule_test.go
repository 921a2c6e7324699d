package reconcile

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// order runs operations one at a time and gives their numbers in the order of beginnings.
func order(ops []Operation, rank func(Operation) int) (began []int) {
	newSchedule(ops, rank, 1).run(func(op Operation, _ func()) { began = append(began, op.N) })
	return began
}

func byNumber(op Operation) int { return op.N }

// TestOfThoseThatCouldRunTheFirstRankIsNext holds with one place at a time, where nothing else decides.
func TestOfThoseThatCouldRunTheFirstRankIsNext(t *testing.T) {
	ops := []Operation{{N: 1}, {N: 2, After: []int{1}}, {N: 3, After: []int{1}}, {N: 4, After: []int{1}}, {N: 5, After: []int{3}}}
	for range 50 {
		if got := order(ops, byNumber); !slices.Equal(got, []int{1, 2, 3, 4, 5}) {
			t.Fatalf("began in the order %v", got)
		}
		last := func(op Operation) int { return -op.N }
		if got := order(ops, last); !slices.Equal(got, []int{1, 4, 3, 5, 2}) {
			t.Fatalf("began in the order %v", got)
		}
	}
}

// TestALaneHasItsOwnRoom holds an app's operation until a pull has ended, with one place for apps.
func TestALaneHasItsOwnRoom(t *testing.T) {
	pulled := make(chan struct{})
	newSchedule([]Operation{{N: 1, Kind: Start}, {N: 2, Kind: PullImage}}, byNumber, 1).run(func(op Operation, _ func()) {
		if op.Kind == PullImage {
			close(pulled)
			return
		}
		<-pulled
	})
}

// TestLeavingMakesRoom needs four operations at once where there is one place: each leaves it while it goes on.
func TestLeavingMakesRoom(t *testing.T) {
	var all sync.WaitGroup
	all.Add(4)
	newSchedule([]Operation{{N: 1}, {N: 2}, {N: 3}, {N: 4}}, byNumber, 1).run(func(_ Operation, leave func()) {
		leave()
		all.Done()
		all.Wait()
	})
}

// TestNeverMoreThanThereIsRoomFor counts those that run.
func TestNeverMoreThanThereIsRoomFor(t *testing.T) {
	var ops []Operation
	for n := range 40 {
		ops = append(ops, Operation{N: n + 1})
	}
	var mu sync.Mutex
	now, most := 0, 0
	newSchedule(ops, byNumber, 3).run(func(Operation, func()) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(time.Millisecond) // long enough for one too many to come in
		mu.Lock()
		now--
		mu.Unlock()
	})
	if most != 3 {
		t.Errorf("%d at once, there is room for 3", most)
	}
}
