package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"haystream/sources"
)

// A change is a copy of a sources.Change, which dies with its batch.
type change struct {
	table   string
	kind    sources.ChangeKind
	version int64
	tx      uint64
	before  string // the old key
	key     string // of after
	after   string // the whole new image
}

// String is in words that are the same for every source: an update names the
// old key, whatever else its log carries of the old row.
func (c change) String() string {
	switch c.kind {
	case sources.Insert:
		return fmt.Sprintf("insert %s %s", c.table, c.after)
	case sources.Update:
		return fmt.Sprintf("update %s %s to %s", c.table, c.before, c.after)
	case sources.Delete:
		return fmt.Sprintf("delete %s %s", c.table, c.before)
	}
	return fmt.Sprintf("%s %s", c.kind, c.table)
}

// A tail is a running stream and what came of it.
type tail struct {
	*fixture
	source  sources.Source
	tables  []*sources.Table
	cancel  context.CancelFunc
	out     chan *sources.Batch
	done    chan error
	changes []change // without those of the fence
	fence   int
	last    int64                // version
	marks   []sources.Checkpoint // each batch's
	batches int                  // with changes
	idle    bool                 // the last batch had none
	largest int                  // batch, in bytes
}

// stream starts a stream after the checkpoint. It ends with the test at last.
func (f *fixture) stream(from sources.Checkpoint) *tail {
	ctx, cancel := context.WithCancel(f.Context())
	t := &tail{
		fixture: f, source: f.source, tables: f.tables, cancel: cancel, out: make(chan *sources.Batch), done: make(chan error, 1),
		last: from.Version, marks: []sources.Checkpoint{from},
	}
	go func() {
		t.done <- t.source.Stream(ctx, t.tables, from, t.out)
		close(t.done)
	}()
	f.Cleanup(func() {
		cancel()
		for range t.done { // closed when the stream has ended
		}
	})
	return t
}

// next takes one batch.
func (t *tail) next() {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case batch := <-t.out:
		t.record(batch)
	case err := <-t.done:
		t.Fatalf("the stream ended: %v", err)
	case <-timeout.C:
		t.Fatalf("no batch in %s; %d changes so far", patience, len(t.changes))
	}
}

// record checks what holds for every batch, and copies its changes.
func (t *tail) record(batch *sources.Batch) {
	t.Helper()
	if batch.Checkpoint.Version < t.mark().Version {
		t.Errorf("a checkpoint's version fell from %d to %d", t.mark().Version, batch.Checkpoint.Version)
	}
	for i := range batch.Changes {
		c := t.copy(&batch.Changes[i])
		if c.version <= t.last {
			t.Errorf("version %d of %s is not above %d", c.version, c, t.last)
		}
		t.last = c.version
		if c.table == fenceTable {
			if _, err := fmt.Sscanf(c.key, "(%d)", &t.fence); err != nil {
				t.Fatalf("read fence %s: %s", c, err)
			}
			continue
		}
		t.changes = append(t.changes, c)
	}
	if batch.Checkpoint.Version > t.last {
		t.Errorf("a checkpoint's version is %d, the last change's %d", batch.Checkpoint.Version, t.last)
	}
	t.idle = len(batch.Changes) == 0
	if !t.idle {
		t.batches++
	}
	t.largest = max(t.largest, batch.Size())
	t.marks = append(t.marks, batch.Checkpoint)
}

// mark is the last checkpoint.
func (t *tail) mark() sources.Checkpoint { return t.marks[len(t.marks)-1] }

func (t *tail) copy(c *sources.Change) change {
	t.Helper()
	if c.Table != t.tables[c.Table.Ordinal] {
		t.Fatalf("a change is of a table that was not given: %s", c.Table)
	}
	copied := change{table: c.Table.Name, kind: c.Kind, version: c.Version, tx: c.Tx}
	if c.Kind == sources.Insert || c.Kind == sources.Update {
		copied.key, copied.after = join(c.After.Key(c.Table.Key)), image(c.After)
	}
	switch {
	case c.Kind == sources.Delete, c.Kind == sources.Update && !c.Before.IsZero():
		copied.before = join(c.Before.Key(c.Table.Key))
	case c.Kind == sources.Update:
		copied.before = copied.key // no old image: the key has not changed
	}
	return copied
}

// image is a row as text.
func image(r sources.Row) string {
	values := make([]string, r.Len())
	for i := range values {
		switch {
		case r.Null(i):
			values[i] = "NULL"
		case r.Missing(i):
			values[i] = "MISSING"
		default:
			values[i] = string(r.Text(i))
		}
	}
	return join(values)
}

func join(values []string) string { return "(" + strings.Join(values, ",") + ")" }

// catchUp reads until all that was committed so far has come.
func (t *tail) catchUp() {
	t.Helper()
	t.fences++
	t.raise(t.fences)
	for t.fence < t.fences {
		t.next()
	}
}

// expect catches up and compares the changes since the last expect.
func (t *tail) expect(want ...string) []change {
	t.Helper()
	t.catchUp()
	changes := t.changes
	t.changes = nil
	t.equal(texts(changes), want)
	return changes
}

func texts(changes []change) []string {
	list := make([]string, len(changes))
	for i, c := range changes {
		list[i] = c.String()
	}
	return list
}

// stop ends the stream and waits for it.
func (t *tail) stop() {
	t.Helper()
	t.cancel()
	if err := t.wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("a stopped stream returned %v", err)
	}
}

// wait returns what the stream returned, and drops what it still sends.
func (t *tail) wait() error {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case <-t.out:
		case err := <-t.done:
			return err
		case <-timeout.C:
			t.Fatalf("the stream has not ended in %s", patience)
		}
	}
}
