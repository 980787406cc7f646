package replicator

import (
	"math/rand/v2"
	"testing"

	"haystream/sources"
)

func TestTrackerKeepsOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		var got []int64
		tr := newTracker(func(d *delivery) { got = append(got, d.checkpoint.Version) })
		pieces := make([]*delivery, 50)
		for i := range pieces {
			pieces[i] = &delivery{checkpoint: sources.Checkpoint{Version: int64(i)}}
			tr.add(pieces[i])
		}
		finished := make([]bool, len(pieces))
		for _, i := range random.Perm(len(pieces)) {
			tr.finish(pieces[i])
			finished[i] = true
			whole := 0
			for whole < len(finished) && finished[whole] {
				whole++
			}
			if len(got) != whole {
				t.Fatalf("%d pieces took effect, %d are finished without a gap", len(got), whole)
			}
		}
		for i, v := range got {
			if v != int64(i) {
				t.Fatalf("effect %d was of piece %d", i, v)
			}
		}
	}
}

func TestBarrierWaitsForEarlierPiecesOnly(t *testing.T) {
	tr := newTracker(func(*delivery) {})
	before, after := &delivery{}, &delivery{}
	tr.add(before)
	barrier := (&pipeline{tracker: tr}).barrier
	reached := barrier("")
	tr.add(after)
	select {
	case <-reached:
		t.Fatal("reached while an earlier piece is on its way")
	default:
	}
	tr.finish(before)
	select {
	case <-reached:
	default:
		t.Fatal("not reached though only a later piece is on its way")
	}
	select {
	case <-barrier(""):
		t.Fatal("a second barrier was reached before the piece that it waits for")
	default:
	}
}
