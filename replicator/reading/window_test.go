package reading

import (
	"testing"

	"haystream/sources"
	"haystream/sources/sourcetest"
)

var keyed = &sources.Table{Schema: "public", Name: "t", Key: []int{0, 1}, Columns: make([]sources.Column, 3)}

var row = sourcetest.Row

func change(kind sources.ChangeKind, tx uint64, before, after sources.Row) *sources.Batch {
	return &sources.Batch{Changes: []sources.Change{{Table: keyed, Kind: kind, Tx: tx, Before: before, After: after}}}
}

func chunkOf(seen uint64, rows ...sources.Row) *sources.Chunk {
	return &sources.Chunk{Rows: rows, Sees: func(tx uint64) bool { return tx <= seen }}
}

func TestUnchangedRows(t *testing.T) {
	none := sources.Row{}
	cases := []struct {
		name  string
		batch *sources.Batch
		want  int
	}{
		{"insert", change(sources.Insert, 1, none, row("a", "1", "x")), 2},
		{"update", change(sources.Update, 1, none, row("b", "2", "x")), 2},
		{"key change", change(sources.Update, 1, row("a", "1", "?"), row("b", "2", "x")), 1},
		{"delete", change(sources.Delete, 1, row("c", "3", "?"), none), 2},
		{"another key", change(sources.Insert, 1, none, row("d", "4", "x")), 3},
		{"columns that run together", change(sources.Insert, 1, none, row("a1", "", "x")), 3},
		{"stale", change(sources.Stale, 1, none, none), 3},
		{"one that cannot be decoded", change(sources.Stale, 1, none, row("a", "1", "?")), 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := NewWindows(1)
			win := w.Open(keyed, false)
			w.Record(c.batch)
			rows, ok := w.Unchanged(win, chunkOf(9, row("a", "1", "x"), row("b", "2", "x"), row("c", "3", "x")))
			if !ok || len(rows) != c.want {
				t.Errorf("got %d rows, ok %v; want %d rows", len(rows), ok, c.want)
			}
		})
	}
}

func TestWindowForgetsWhatCameBeforeIt(t *testing.T) {
	w := NewWindows(1)
	first := w.Open(keyed, false)
	w.Record(change(sources.Insert, 1, sources.Row{}, row("a", "1", "x")))
	second := w.Open(keyed, false)
	if rows, ok := w.Unchanged(second, chunkOf(9, row("a", "1", "x"))); !ok || len(rows) != 1 {
		t.Errorf("the later window left out a row that changed before it opened")
	}
	if rows, ok := w.Unchanged(first, chunkOf(9, row("a", "1", "x"))); !ok || len(rows) != 0 {
		t.Errorf("the earlier window kept a row that changed after it opened")
	}
	w.Close(first)
	w.Close(second)
	if w.tables[0] != nil {
		t.Error("closed windows still record")
	}
}

func TestIncompleteImageWantsTheChunkToHaveSeenIt(t *testing.T) {
	w := NewWindows(1)
	win := w.Open(keyed, false)
	w.Record(change(sources.Update, 5, sources.Row{}, row("a", "1", "?")))
	if _, ok := w.Unchanged(win, chunkOf(4, row("a", "1", "x"))); ok {
		t.Error("a chunk that did not see the incomplete change was merged")
	}
	if rows, ok := w.Unchanged(win, chunkOf(5, row("a", "1", "x"))); !ok || len(rows) != 1 {
		t.Error("a chunk that saw the incomplete change did not bring its row")
	}
}

// TestIncompleteImageAfterAWholeOne: the chunk that has seen the row's last change brings it, unless the log has told
// all of the row since.
func TestIncompleteImageAfterAWholeOne(t *testing.T) {
	whole := change(sources.Update, 4, sources.Row{}, row("a", "1", "x"))
	part := change(sources.Update, 5, row("a", "1", "?"), row("a", "1", "?"))
	gone := change(sources.Delete, 6, row("a", "1", "?"), sources.Row{})
	for _, c := range []struct {
		name    string
		batches []*sources.Batch
		want    int
	}{
		{"whole, part", []*sources.Batch{whole, part}, 1},
		{"part, whole", []*sources.Batch{part, whole}, 0},
		{"whole, part, whole", []*sources.Batch{whole, part, whole}, 0},
		{"part, whole, part", []*sources.Batch{part, whole, part}, 1},
		{"part, delete", []*sources.Batch{part, gone}, 0},
	} {
		w := NewWindows(1)
		win := w.Open(keyed, false)
		for _, b := range c.batches {
			w.Record(b)
		}
		if rows, ok := w.Unchanged(win, chunkOf(5, row("a", "1", "x"))); !ok || len(rows) != c.want {
			t.Errorf("%s: %d rows of the chunk are wanted, %v; want %d", c.name, len(rows), ok, c.want)
		}
	}
}

// TestRowsThatTheLogToldInPart: the row of a chunk that has seen the change is whole.
func TestRowsThatTheLogToldInPart(t *testing.T) {
	w := NewWindows(1)
	win := w.Open(keyed, true)
	w.Record(change(sources.Update, 5, row("a", "1", "?"), row("a", "1", "?")))
	for tx, unsure := range map[uint64]bool{4: true, 5: false} {
		h, ok := w.Happened(win, chunkOf(tx))
		if name := AppendName(nil, row("a", "1", "x"), keyed.Key)[4:]; !ok || h.Changed.Has(name) || h.Partial.Has(name) != unsure {
			t.Errorf("a chunk that has seen transactions up to %d: %v, %v", tx, h, ok)
		}
	}
}

func TestOverflowRefusesOpenWindowsOnly(t *testing.T) {
	w := NewWindows(1)
	win := w.Open(keyed, false)
	big := string(make([]byte, maxRecord))
	w.Record(change(sources.Insert, 1, sources.Row{}, row(big, "1", "x")))
	if _, ok := w.Unchanged(win, chunkOf(9)); ok {
		t.Error("a window whose record was dropped was merged")
	}
	later := w.Open(keyed, false)
	w.Record(change(sources.Insert, 2, sources.Row{}, row("a", "1", "x")))
	if rows, ok := w.Unchanged(later, chunkOf(9, row("a", "1", "x"), row("b", "2", "x"))); !ok || len(rows) != 1 {
		t.Error("a window opened after the overflow does not work")
	}
}
