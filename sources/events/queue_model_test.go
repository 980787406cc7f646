package events

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"haystream/internal/seeds"

	"github.com/rs/zerolog"
)

// A model of the queue: what was answered is read exactly once after each checkpoint, in
// order, whatever fails and wherever the process or the power ends. A seed makes all choices.
type model struct {
	t    *testing.T
	r    *rand.Rand
	disk *fakeDisk
	q    *Queue
	made int

	accepted  []string // in order
	uncertain []string // that were written when the disk was cut off, or could not be cut off it
	saved     place    // the checkpoint
	savedAt   int      // in accepted
	read      place    // by the reader of this life
	readAt    int
}

func TestModel(t *testing.T) {
	number := 4000
	if testing.Short() {
		number = 400
	}
	for _, seed := range seeds.Of(t, number) {
		m := &model{t: t, r: rand.New(rand.NewPCG(seed, 0))}
		m.disk = newFakeDisk(m.r)
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m.t = t
			m.open()
			for range 60 {
				m.step()
			}
			m.end()
		}) {
			return
		}
	}
}

func (m *model) open() {
	var err error
	if m.q, err = open(m.disk, Options{MaxBytes: 4000, Log: zerolog.Nop()}); err != nil {
		m.t.Fatal(err)
	}
	m.q.turn = 400
	m.read, m.readAt = m.saved, m.savedAt
	if m.saved == (place{}) {
		m.read = m.q.first()
	}
	if ok, err := m.q.has(m.read); !ok || err != nil {
		m.t.Fatalf("the checkpoint %v is not in the queue, which ends at %v: %v", m.read, m.q.end, err)
	}
	m.q.ack(m.read)
}

func (m *model) step() {
	switch n := m.r.IntN(100); {
	case n < 40:
		m.append()
	case n < 70:
		m.consume(1 + m.r.IntN(4))
	case n < 80:
		m.saved, m.savedAt = m.read, m.readAt
		m.q.ack(m.saved)
	case n < 84:
		m.disk.room = m.r.IntN(300)
	case n < 88:
		m.disk.failing = 10 * m.r.IntN(6)
	case n < 90:
		m.disk.readOnly = true
	case n < 95:
		m.disk.room, m.disk.failing, m.disk.readOnly = -1, 0, false
	default:
		m.crash()
	}
}

// event is one that no other equals.
func (m *model) event() Event {
	m.made++
	return Event{Name: "pressed", ID: fmt.Sprint(m.made), Created: "2026-11-29T10:00:00Z", Body: bytes.Repeat([]byte("x"), m.r.IntN(120))}
}

// append puts several calls' events into one commit.
func (m *model) append() {
	var writes []*write
	var ids [][]string
	for range 1 + m.r.IntN(3) {
		var events []Event
		var of []string
		for range 1 + m.r.IntN(3) {
			e := m.event()
			events, of = append(events, e), append(of, e.ID)
		}
		w := &write{encode(events), int64(len(events)), make(chan error, 1)}
		switch err := m.q.wait(w); {
		case errors.Is(err, ErrFull):
			continue
		case err != nil:
			m.t.Fatal(err)
		}
		writes, ids = append(writes, w), append(ids, of)
	}
	if len(writes) == 0 {
		return // a wake for nothing would let the next commit begin before all of its calls wait
	}
	m.q.wake <- struct{}{}
	for i, w := range writes {
		err := <-w.done
		if m.disk.cut == nil && err != nil && m.disk.failing == 0 && !m.disk.readOnly && !m.cutBack() {
			m.t.Fatalf("a full disk has kept some of what was refused: %v", err)
		}
		switch {
		case m.disk.cut != nil, err != nil && !m.cutBack():
			m.uncertain = append(m.uncertain, ids[i]...)
		case err == nil:
			m.accepted = append(m.accepted, ids[i]...)
			if i == 0 {
				m.uncertain = nil // they were cut off
			}
		}
	}
}

// cutBack reports whether nothing that was refused is on the disk.
func (m *model) cutBack() bool {
	last := m.q.segments[len(m.q.segments)-1]
	f, size := m.disk.files[last.name], int(segmentHead+m.q.end.offset-last.start.offset)
	return len(f.data) == size && len(f.durable) == size
}

// consume reads frames, whose events must be the next ones.
func (m *model) consume(frames int) {
	for range frames {
		payload, next, _, err := m.q.read(m.read, nil)
		if err != nil {
			m.t.Fatal(err)
		}
		if payload == nil {
			if m.disk.cut == nil && m.readAt < len(m.accepted) {
				m.t.Fatalf("nothing follows %s, though %s was accepted", m.before(), m.accepted[m.readAt])
			}
			return
		}
		ids := idsOf(m.t, payload)
		if len(ids) > len(m.accepted)-m.readAt || !slices.Equal(ids, m.accepted[m.readAt:m.readAt+len(ids)]) {
			m.t.Fatalf("after %s came %v; accepted: %v", m.before(), ids, m.accepted[m.readAt:])
		}
		m.read, m.readAt = next, m.readAt+len(ids)
	}
}

func (m *model) before() string {
	if m.readAt == 0 {
		return "the begin"
	}
	return m.accepted[m.readAt-1]
}

func idsOf(t *testing.T, payload []byte) (ids []string) {
	f := newFrame(payload)
	for f.left > 0 {
		e, err := f.next()
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, string(e.id))
	}
	return ids
}

// crash ends the process at some operation of the commits that follow, and opens what is found then.
func (m *model) crash() {
	m.disk.power, m.disk.countdown = m.r.IntN(2) == 0, m.r.IntN(8)
	for range 8 {
		if m.disk.cut == nil {
			m.append()
		}
	}
	if m.disk.cut == nil { // nothing has come to the disk
		m.disk.cut = m.disk.after(m.disk.power)
	}
	found := m.disk.cut
	if err := m.q.Close(); err != nil {
		m.t.Fatal(err)
	}
	if m.disk = found; m.r.IntN(10) == 0 {
		m.damage()
	}
	m.open()
	m.settle()
}

// damage appends to the newest file what was never written.
func (m *model) damage() {
	names, _ := m.disk.list()
	slices.Sort(names)
	if len(names) > 0 {
		f := m.disk.files[names[len(names)-1]]
		f.data = append(f.data, make([]byte, m.r.IntN(30))...)
	}
}

// settle looks which events are there that may be: they are accepted from then on.
func (m *model) settle() {
	at, left := m.read, m.accepted[m.readAt:]
	for {
		payload, next, _, err := m.q.read(at, nil)
		if err != nil {
			m.t.Fatal(err)
		}
		if payload == nil {
			break
		}
		for _, id := range idsOf(m.t, payload) {
			if len(left) > 0 {
				if id != left[0] {
					m.t.Fatalf("found %s, want %s", id, left[0])
				}
				left = left[1:]
				continue
			}
			i := slices.Index(m.uncertain, id)
			if i < 0 {
				m.t.Fatalf("found %s, which was refused, or comes twice or late; uncertain: %v", id, m.uncertain)
			}
			m.uncertain = m.uncertain[i+1:]
			m.accepted = append(m.accepted, id)
		}
		at = next
	}
	if len(left) > 0 {
		m.t.Fatalf("lost: %v", left)
	}
	m.uncertain = nil
}

// end reads all, once the disk is well.
func (m *model) end() {
	m.disk.room, m.disk.failing, m.disk.readOnly = -1, 0, false
	m.saved, m.savedAt = m.read, m.readAt
	m.q.ack(m.saved)
	for range 3 {
		m.append()
	}
	m.consume(len(m.accepted))
	if m.readAt != len(m.accepted) {
		m.t.Fatalf("read %d of %d", m.readAt, len(m.accepted))
	}
	m.q.ack(m.read)
	if s := m.q.Stats(); s.Bytes != 0 || s.Events != 0 || s.Lost != 0 {
		m.t.Fatalf("after all was acknowledged the queue has %+v", s)
	}
	if err := m.q.Close(); err != nil {
		m.t.Fatal(err)
	}
}
