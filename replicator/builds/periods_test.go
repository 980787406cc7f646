package builds

import (
	"slices"
	"testing"
	"time"

	"haystream/mapping"
	"haystream/sinks"
)

// TestPeriodsRollOver: the index of a period is there before the period's documents are, and goes
// when partition keeps it no longer, once none of its documents is on its way.
func TestPeriodsRollOver(t *testing.T) {
	s := newShelf(t)
	w := defined("one", true)
	w.Partition = &mapping.Partitioning{Partition: &mapping.Partition{By: "at", Every: "month", Keep: 2}, Zone: time.UTC}
	s.clock = time.Date(2024, 1, 31, 23, 0, 0, 0, time.UTC)
	live := s.reconciled(w).Live
	target := s.Targets([]*mapping.Index{w}, nil)[0]
	s.periods.needed = make(chan need, 1)
	keep := func() {
		t.Helper()
		if err := s.KeepPeriods(t.Context(), []*Target{target}); err != nil {
			t.Fatal(err)
		}
	}
	stand := func(want ...string) {
		t.Helper()
		got, err := s.Sink.Standing(t.Context(), "notes", live.Physical)
		if err != nil || !slices.Equal(got.Periods, want) || !slices.Equal(got.Serving, []string{live.Physical}) {
			t.Errorf("at %s there are %v, %v; want %v", s.clock, got, err, want)
		}
	}
	goes := func(day string) *sinks.Target {
		return w.Partition.Part(&sinks.Batch{}, target.Target, w.Partition.Of([]byte(day), time.UTC))
	}
	keep()
	stand("2024.01")
	asked := make(chan struct{})
	s.periods.needed <- need{[]*sinks.Target{goes("2023-12-05")}, asked}
	keep()
	<-asked
	stand("2023.12", "2024.01")
	if goes("2023-11-30") != nil || goes("2023-12-01") == nil || goes("9999-12-31") == nil {
		t.Error("in January all from December on are kept, and only those")
	}

	s.gone = make(chan struct{})
	s.clock = time.Date(2024, 2, 1, 0, 0, 0, 0, time.UTC)
	keep()
	keep()
	stand("2023.12", "2024.01", "2024.02") // documents may be on their way
	if goes("2023-12-31") != nil || goes("2024-01-01") == nil {
		t.Error("in February all from January on are kept, and only those")
	}
	close(s.gone)
	keep()
	stand("2024.01", "2024.02")
	s.clock = s.clock.Add(-48 * time.Hour)
	keep()
	if goes("2023-12-31") != nil {
		t.Error("a clock that goes back brings documents back")
	}
	stand("2024.01", "2024.02")

	s.restart().reconciled(w)
	if target = s.Targets([]*mapping.Index{w}, nil)[0]; len(target.All()) != 3 {
		t.Errorf("after a restart there are %d indexes of periods", len(target.All())-1)
	}
}
