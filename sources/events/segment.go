package events

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"strings"
)

// A place is between two frames of a queue.
type place struct {
	offset int64  // bytes of all frames before it, in the queue's whole life
	events int64  // in those frames
	chain  uint32 // the checksum of the last one
}

// A segment is a file of the queue. What it holds ends where the next one starts: bytes behind
// that were refused, or never whole. It begins with
//
//	magic, 8 bytes, of which the last one is the format's number; the queue's id, 16; where it starts: offset and number of events, 8 each, and
//	the checksum before, 4; the checksum of all these, 4
type segment struct {
	name  string
	start place
	file  file
}

const (
	segmentHead = 48
	idSize      = 16
	suffix      = ".events"
)

var (
	magic = []byte("HSEVENT1")
	table = crc32.MakeTable(crc32.Castagnoli)
)

// segmentName is the n-th one's.
func segmentName(n uint64) string { return fmt.Sprintf("%016x%s", n, suffix) }

// segmentNumber is the opposite of segmentName.
func segmentNumber(name string) (uint64, bool) {
	hexadecimal, ok := strings.CutSuffix(name, suffix)
	n, err := strconv.ParseUint(hexadecimal, 16, 64)
	return n, ok && err == nil && len(hexadecimal) == 16
}

// createSegment makes an empty one, which is there after a power cut, or nothing.
func createSegment(d disk, name, id string, start place) (*segment, error) {
	head := slices.Clone(magic)
	raw, err := hex.DecodeString(id)
	if err != nil {
		return nil, fmt.Errorf("decode queue id: %w", err)
	}
	head = append(head, raw...)
	head = binary.LittleEndian.AppendUint64(head, uint64(start.offset))
	head = binary.LittleEndian.AppendUint64(head, uint64(start.events))
	head = binary.LittleEndian.AppendUint32(head, start.chain)
	head = binary.LittleEndian.AppendUint32(head, crc32.Checksum(head, table))
	f, err := d.create(name)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", name, err)
	}
	if _, err = f.Write(head); err == nil {
		err = errors.Join(f.Sync(), d.sync())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create %s: %w", name, err), f.Close(), d.remove(name))
	}
	return &segment{name, start, f}, nil
}

// newer reports whether a later version of the program has made the file.
func newer(head []byte) bool {
	last := len(magic) - 1
	return string(head[:last]) == string(magic[:last]) && head[last] > magic[last]
}

// openSegment reads the head of one that is there. errUnmade: it was never whole, and has no events. errNewer:
// its events were answered for, and it must stay.
func openSegment(d disk, name string) (s *segment, id string, err error) {
	f, err := d.open(name)
	if err != nil {
		return nil, "", fmt.Errorf("open %s: %w", name, err)
	}
	head := make([]byte, segmentHead+1) // with a byte of what follows
	n, err := f.ReadAt(head, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	sum := segmentHead - 4
	whole := n >= segmentHead && string(head[:8]) == string(magic) && crc32.Checksum(head[:sum], table) == binary.LittleEndian.Uint32(head[sum:])
	switch {
	case err != nil, whole:
	case newer(head):
		err = errNewer
	case n <= segmentHead:
		err = errUnmade
	default:
		err = errHead
	}
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("read %s: %w", name, err), f.Close())
	}
	rest := head[8+idSize:]
	start := place{int64(binary.LittleEndian.Uint64(rest)), int64(binary.LittleEndian.Uint64(rest[8:])), binary.LittleEndian.Uint32(rest[16:])}
	return &segment{name, start, f}, hex.EncodeToString(head[8 : 8+idSize]), nil
}

var (
	errHead   = errors.New("it does not begin as a queue's file does")
	errUnmade = fmt.Errorf("%w, and ends there", errHead)
	errNewer  = errors.New("the event queue was written by a newer version of haystream; run that version until it is empty")
	errDamage = errors.New("what follows is no frame of the queue")
)

// read reads the frame at a place. buf is used where it is large enough. errDamage means that
// there is none.
func (s *segment) read(at place, buf []byte) (payload []byte, next place, err error) {
	var head [frameHead]byte
	from := segmentHead + at.offset - s.start.offset
	if err := s.readAt(head[:], from); err != nil {
		return nil, at, err
	}
	n := int(binary.LittleEndian.Uint32(head[:]))
	if n < payloadHead || n > maxFrame {
		return nil, at, errDamage
	}
	payload = slices.Grow(buf[:0], n)[:n]
	if err := s.readAt(payload, from+frameHead); err != nil {
		return nil, at, err
	}
	sum := checksum(at.chain, head[:4], payload)
	if sum != binary.LittleEndian.Uint32(head[4:]) {
		return nil, at, errDamage
	}
	return payload, place{at.offset + frameHead + int64(n), at.events + int64(newFrame(payload).left), sum}, nil
}

func (s *segment) readAt(to []byte, from int64) error {
	switch _, err := s.file.ReadAt(to, from); {
	case errors.Is(err, io.EOF):
		return errDamage
	case err != nil:
		return fmt.Errorf("read %s: %w", s.name, err)
	}
	return nil
}

// checksum is a frame's, after that of the one before.
func checksum(before uint32, length, payload []byte) uint32 {
	return crc32.Update(crc32.Update(before, table, length), table, payload)
}

// maxFrame is more than any frame has, so that a damaged length asks for no memory.
const maxFrame = 1 << 28
