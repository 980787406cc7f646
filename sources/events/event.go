// Package events is a source of events that are rows of no table: a queue on disk that
// is written to from outside, and read like a database's log.
//
// The guarantee: events whose Append has returned nil are on disk, and the stream emits
// them once after each Position, in order, until they are acknowledged. Those of an Append
// that was refused are never emitted. The queue owns one goroutine, which ends in Close.
package events

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"
)

// An Event is something that happened.
type Event struct {
	Name    string // of what happened; a definition's, or what its events.name says
	ID      string
	Created string // as a sources.TimestampTZ
	Body    []byte // a JSON object without line breaks

	// Floats: the ID is the client's and Created is not, so that a repeat of the event has another one.
	Floats bool
}

// The form of a frame, which holds the events of one Append:
//
//	length of the payload and checksum, four bytes each
//	payload: when it was written, in microseconds since 1970, eight bytes; the number of events,
//	four bytes; of each event the texts of its name, id, creation and body, each after its length;
//	a ~ is in front of a creation that floats
//
// The checksum (CRC-32C) is of the length and the payload, begun with that of the frame before: a
// frame is in its place, and not left from another life of the queue.
const (
	frameHead   = 8
	payloadHead = 12
)

// encode makes a frame, without its checksum and time.
func encode(events []Event) []byte {
	size := frameHead + payloadHead
	for i := range events {
		e := &events[i]
		size += 4*binary.MaxVarintLen32 + len(e.Name) + len(e.ID) + len(floating) + len(e.Created) + len(e.Body)
	}
	f := make([]byte, frameHead+payloadHead, size)
	binary.LittleEndian.PutUint32(f[frameHead+8:], uint32(len(events)))
	for i := range events {
		e := &events[i]
		f = appendText(f, e.Name)
		f = appendText(f, e.ID)
		created := e.Created
		if e.Floats {
			created = floating + created
		}
		f = appendText(f, created)
		f = appendText(f, e.Body)
	}
	binary.LittleEndian.PutUint32(f, uint32(len(f)-frameHead))
	return f
}

// floating is in front of a creation that floats.
const floating = "~"

func appendText[T string | []byte](f []byte, text T) []byte {
	return append(binary.AppendUvarint(f, uint64(len(text))), text...)
}

// A frame is a whole and sound one, as read.
type frame struct {
	payload []byte
	left    int // events that were not taken
}

// newFrame begins in front of a payload's first event.
func newFrame(payload []byte) frame {
	return frame{payload[payloadHead:], int(binary.LittleEndian.Uint32(payload[8:]))}
}

// written is when a payload was written.
func written(payload []byte) time.Time {
	return time.UnixMicro(int64(binary.LittleEndian.Uint64(payload)))
}

// A view is an event in the memory of its frame.
type view struct {
	name, id, created, body []byte

	floats bool
}

// next takes an event. The frame is sound, so that an error shows that another version wrote it.
func (f *frame) next() (e view, err error) {
	for _, text := range []*[]byte{&e.name, &e.id, &e.created, &e.body} {
		n, size := binary.Uvarint(f.payload)
		if size <= 0 || n > uint64(len(f.payload)-size) {
			return e, errFrame
		}
		*text, f.payload = f.payload[size:size+int(n):size+int(n)], f.payload[size+int(n):]
	}
	e.created, e.floats = bytes.CutPrefix(e.created, []byte(floating))
	f.left--
	return e, nil
}

var errFrame = errors.New("an event in the queue cannot be read: a newer version of haystream has written it")
