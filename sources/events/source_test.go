package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"haystream/sources"
)

func openSource(t *testing.T, path string) *Source {
	t.Helper()
	s := New(path, []string{"clicks"}, Options{MaxBytes: 64 << 20, Log: zerolog.Nop()})
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// clicks is the projected table.
func clicks() []*sources.Table {
	t := newTable("clicks")
	t.Columns = append(t.Columns, sources.Member("user"), sources.Member(`a"b`))
	return []*sources.Table{t}
}

func push(t *testing.T, s *Source, bodies ...string) {
	t.Helper()
	for i, body := range bodies {
		e := Event{Name: "clicks", ID: fmt.Sprintf("%s-%d", t.Name(), i), Created: "2026-11-29T10:00:00Z", Body: []byte(body)}
		if err := s.Append(t.Context(), []Event{e}); err != nil {
			t.Fatal(err)
		}
	}
}

// read streams from a checkpoint until n changes have come and a batch says that nothing follows.
func read(t *testing.T, s *Source, from sources.Checkpoint, n int) (rows []string, versions []int64, last sources.Checkpoint) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, ended := make(chan *sources.Batch), make(chan error, 1)
	go func() { ended <- s.Stream(ctx, clicks(), from, out) }()
	for {
		select {
		case b := <-out:
			for _, c := range b.Changes {
				var cells []string
				for i := range c.After.Len() {
					cells = append(cells, string(c.After.Text(i)))
				}
				rows, versions = append(rows, strings.Join(cells[2:], "|")), append(versions, c.Version)
			}
			if last = b.Checkpoint; len(rows) >= n && len(b.Changes) == 0 {
				cancel()
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				return rows, versions, last
			}
		case err := <-ended:
			t.Fatalf("after %v: %v", rows, err)
		}
	}
}

// A member is a column whatever its name looks like in the body; what is missing or null is NULL.
func TestRows(t *testing.T) {
	s := openSource(t, t.TempDir())
	push(t, s, `{"user":"ann","a\"b":[1]}`, `{ "\u0075ser" : {"x":1} , "a\u0022b":null}`, `{}`, `{"user":1,"user":2}`)
	rows, _, _ := read(t, s, sources.Checkpoint{}, 4)
	if got, want := fmt.Sprint(rows), `["ann"|[1] {"x":1}| | 2|]`; got != want {
		t.Errorf("rows are %s, want %s", got, want)
	}
}

// A replay numbers the same, also by another process.
func TestReplay(t *testing.T) {
	path := t.TempDir()
	s := openSource(t, path)
	push(t, s, `{"user":1}`, `{"user":2}`, `{"user":3}`)
	_, first, end := read(t, s, sources.Checkpoint{Version: 7}, 3)
	s.Close()
	s = openSource(t, path)
	_, again, same := read(t, s, sources.Checkpoint{Version: 7}, 3)
	if fmt.Sprint(first) != fmt.Sprint(again) || end != same {
		t.Errorf("numbered %v to %v, then %v to %v", first, end, again, same)
	}
	push(t, s, `{"user":4}`)
	rows, next, _ := read(t, s, end, 1)
	if fmt.Sprint(rows) != "[4|]" || next[0] <= first[2] {
		t.Errorf("went on with %v, numbered %v after %v", rows, next, first)
	}
}

// A queue that is not the checkpoint's is read from its start.
func TestAnotherQueue(t *testing.T) {
	lost := openSource(t, t.TempDir())
	push(t, lost, `{"user":1}`, `{"user":2}`)
	_, _, end := read(t, lost, sources.Checkpoint{}, 2)

	s := openSource(t, t.TempDir())
	push(t, s, `{"user":3}`)
	start, err := s.Prepare(t.Context(), clicks(), end.Position)
	if err != nil {
		t.Fatal(err)
	}
	rows, versions, last := read(t, s, end, 1)
	if fmt.Sprint(rows) != "[3|]" || versions[0] <= end.Version {
		t.Errorf("read %v, numbered %v after %d", rows, versions, end.Version)
	}
	if s.Reached(end.Position, start.Mark) || !s.Reached(last.Position, start.Mark) {
		t.Error("the mark is not reached in time")
	}
}

// The queues of several hosts take turns, and each goes on where it was left, also after it was opened again.
func TestQueuesOfSeveralHosts(t *testing.T) {
	paths := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	var last sources.Checkpoint
	for turn := range 7 {
		at := turn % len(paths)
		s := openSource(t, paths[at])
		body := fmt.Sprintf(`{"user":%d}`, turn)
		if err := s.Append(t.Context(), []Event{{Name: "clicks", ID: fmt.Sprint(turn), Created: "2026-11-29T10:00:00Z", Body: []byte(body)}}); err != nil {
			t.Fatal(err)
		}
		own, waiting, err := s.Own(last.Position)
		if err != nil || own != (turn == 0) || waiting != 1 {
			t.Errorf("turn %d: own %v, %d wait, %v", turn, own, waiting, err)
		}
		start, err := s.Prepare(t.Context(), clicks(), last.Position)
		if err != nil {
			t.Fatal(err)
		}
		if n := s.Stats().Events; turn >= len(paths) && n != 1 {
			t.Errorf("turn %d: %d events wait, where the queue was left is known", turn, n)
		}
		rows, versions, end := read(t, s, last, 1)
		if want := fmt.Sprintf("[%d|]", turn); fmt.Sprint(rows) != want || versions[0] <= last.Version {
			t.Errorf("turn %d: read %v, numbered %v after %d", turn, rows, versions, last.Version)
		}
		if !s.Reached(end.Position, start.Mark) || turn > 0 && s.Reached(last.Position, start.Mark) {
			t.Errorf("turn %d: the mark is not reached in time", turn)
		}
		if lag, err := s.Lag(t.Context(), start.Position); err != nil || lag.Bytes <= 0 {
			t.Errorf("turn %d: lag %+v, %v", turn, lag, err)
		}
		s.Close()
		last = end
	}
	if n := len(strings.Fields(string(last.Position))); n != len(paths) {
		t.Errorf("the position is %q", last.Position)
	}
}

// A position tells of so many queues at most, the latest first, and is read as it was written.
func TestPosition(t *testing.T) {
	var position sources.Position
	for n := range 2 * mostSpots {
		queue := fmt.Sprint("q", n)
		position = parseSpots(position).without(queue).position(queue, place{int64(n), 1, 7})
	}
	all := parseSpots(position)
	if _, known := all.of("q0"); len(all) != mostSpots || all[0].queue != fmt.Sprint("q", 2*mostSpots-1) || known {
		t.Errorf("the position is %q", position)
	}
	if again := all.without(all[0].queue).position(all[0].queue, all[0].at); again != position {
		t.Errorf("%q became %q", position, again)
	}
	for _, text := range []sources.Position{"", "0/16B3748", "a:1:2", "q:1:2:00000007 wrong"} {
		if all := parseSpots(text); len(all) > 0 {
			t.Errorf("%q is read as %v", text, all)
		}
	}
}

// A large frame comes in parts, and the position moves behind the last of them only: whoever stops
// between them gets all of it again, with the same versions.
func TestLarge(t *testing.T) {
	s := openSource(t, t.TempDir())
	var all []Event
	for n := range 400 {
		all = append(all, Event{Name: "clicks", ID: fmt.Sprint(n), Created: "2026-11-29T10:00:00Z", Body: []byte(`{"user":"` + strings.Repeat("x", 10_000) + `"}`)})
	}
	if err := s.Append(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	var before [][]int64
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		out, ended := make(chan *sources.Batch), make(chan error, 1)
		go func() { ended <- s.Stream(ctx, clicks(), sources.Checkpoint{Version: 5}, out) }()
		first := <-out
		if n := len(first.Changes); n == 0 || n == len(all) || first.Checkpoint.Version != 5 || first.Size() > 4*sources.BatchBytes {
			t.Fatalf("the first batch has %d changes, %d bytes, checkpoint %v", n, first.Size(), first.Checkpoint)
		}
		var versions []int64
		for _, c := range first.Changes {
			versions = append(versions, c.Version)
		}
		before = append(before, versions)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("a stream whose batches nobody takes ends with %v", err)
		}
	}
	if fmt.Sprint(before[0]) != fmt.Sprint(before[1]) {
		t.Error("the parts are numbered in another way the second time")
	}
	if rows, _, _ := read(t, s, sources.Checkpoint{}, len(all)); len(rows) != len(all) {
		t.Errorf("read %d events", len(rows))
	}
}

// A queue says that it has little room before it has none, in itself and on its disk, and once the
// disk fails; and it tries the disk again by itself.
func TestRoom(t *testing.T) {
	disk := newFakeDisk(rand.New(rand.NewPCG(1, 0)))
	q, err := open(disk, Options{MaxBytes: 10 * MaxPush, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	expect := func(what string, refuses bool, says string) {
		t.Helper()
		if room := q.Room(); room.Refuses != refuses || !strings.Contains(room.Why, says) || (says == "") != (room.Why == "") {
			t.Errorf("%s: %+v", what, room)
		}
	}
	set := func(change func()) {
		disk.mu.Lock()
		defer disk.mu.Unlock()
		change()
	}
	push := func(size int) error {
		return q.Append(t.Context(), []Event{{Name: "clicks", ID: "1", Created: "2026-11-29T10:00:00Z", Body: make([]byte, size)}})
	}
	expect("empty", false, "")
	for range 8 {
		if err := push(MaxPush); err != nil {
			t.Fatal(err)
		}
	}
	expect("nearly full", false, "events will be refused if this goes on: 64MiB of 80MiB in the event queue are in use")
	if err := push(MaxPush); err != nil {
		t.Fatal(err)
	}
	expect("full", true, "events are refused: 72MiB of 80MiB in the event queue are in use; see why the sink takes them no faster, or raise limits.max_event_queue")
	q.ack(q.last())
	expect("delivered", false, "")
	set(func() { disk.room = 12 << 20 })
	expect("little room on the disk", false, "12MiB left on the volume")
	set(func() { disk.room = 1 << 20 })
	expect("no room on the disk", true, "1MiB left on the volume")
	set(func() { disk.room, disk.readOnly = -1, true })
	if err := push(1); err == nil {
		t.Fatal("a disk that is read-only takes an event")
	}
	expect("a failing disk", true, "the disk does not take them")
	set(func() { disk.readOnly = false })
	deadline := time.After(20 * time.Second)
	for q.Room().Refuses {
		select {
		case <-deadline:
			t.Fatal("the disk is well again, and it is not tried")
		case <-time.After(time.Millisecond):
		}
	}
	if err := push(1); err != nil {
		t.Error(err)
	}
}

// One process has a queue, and what is delivered is removed.
func TestOneProcess(t *testing.T) {
	path := t.TempDir()
	s := openSource(t, path)
	other := New(path, nil, Options{MaxBytes: 1 << 20, Log: zerolog.Nop()})
	if err := other.Open(); !errors.Is(err, sources.ErrBusy) {
		t.Errorf("another one opens it: %v", err)
	}
	if _, err := other.Remove(t.Context(), true); !errors.Is(err, sources.ErrBusy) {
		t.Errorf("another one removes it: %v", err)
	}
	push(t, s, `{}`)
	_, _, end := read(t, s, sources.Checkpoint{}, 1)
	if n := s.Stats().Events; n != 1 {
		t.Errorf("%d events wait before they are acknowledged", n)
	}
	s.Ack(end.Position)
	if got := s.Stats(); got.Events != 0 || got.Bytes != 0 || !got.Oldest.IsZero() {
		t.Errorf("after all is acknowledged: %+v", got)
	}
	s.Close()
	if dropped, err := other.Remove(t.Context(), false); err != nil || len(dropped) != 1 {
		t.Errorf("removed %v, %v", dropped, err)
	}
}

// TestOtherHeads: a queue that a newer version has written is refused, and a file whose head is damaged is passed
// over: neither is deleted, since it has events.
func TestOtherHeads(t *testing.T) {
	path := t.TempDir()
	q, err := Open(path, Options{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Append(t.Context(), []Event{{Name: "clicks", ID: "1", Created: "2026-11-29T10:00:00Z", Body: []byte(`{"id":"1"}`)}}); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(path, segmentName(0))
	ours, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	theirs := bytes.Clone(ours)
	theirs[len(magic)-1]++
	damaged := bytes.Clone(ours)
	damaged[20]++
	for _, file := range [][]byte{theirs, damaged} {
		if err := os.WriteFile(name, file, 0o600); err != nil {
			t.Fatal(err)
		}
		q, err := Open(path, Options{MaxBytes: 1 << 20})
		if newer := &file[0] == &theirs[0]; errors.Is(err, errNewer) != newer || (err == nil) == newer {
			t.Errorf("newer %v: %v", newer, err)
		}
		if err == nil {
			err = q.Close()
		}
		if now, readErr := os.ReadFile(name); readErr != nil || !bytes.Equal(now, file) {
			t.Errorf("the file of %d bytes has %d: %v, %v", len(file), len(now), readErr, err)
		}
	}
}
