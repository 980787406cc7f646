package rowstore

import (
	"encoding/binary"
	"errors"
)

// The first byte of every key in the store. The rest is
//
//	load:  table                           → the sequence of the last load that was committed
//	load:  table, sequence                 → which rows were loaded, until the next load is committed
//	dirty: target, version                 → documents
//	due:   time, target, key               →
//	dueOf: target, key                     → time
//	work:  id                              → data
//	note:  name                            → data
//	index: table, index, value, key        → row, where it is small
//	piece: table, key, stamp, column, n → part of a large text
//	row:   table, key                      → row
//	meta, state, tables, saves:            → see meta, state, kept and NoteSaves
//
// with tables and columns in two bytes, indexes in one, targets and n in four,
// times, versions, ids, sequences and stamps in eight, all big-endian. Rows come last, so that
// those that were loaded are not within runs of what is written often.
const (
	spaceLoad   = 'l'
	spaceDirty  = 'm'
	spaceDue    = 't'
	spaceDueOf  = 'u'
	spaceWork   = 'w'
	spaceNote   = 'n'
	spaceMeta   = 'a'
	spaceState  = 's'
	spaceSaves  = 'v'
	spaceTables = 'b'
	spaceIndex  = 'x'
	spacePiece  = 'y'
	spaceRow    = 'z'
)

func appendRowSpace(dst []byte, t *Table) []byte {
	return binary.BigEndian.AppendUint16(append(dst, spaceRow), t.number)
}

func appendIndexSpace(dst []byte, t *Table) []byte {
	return binary.BigEndian.AppendUint16(append(dst, spaceIndex), t.number)
}

// appendLoads appends what all loads of a table begin with, which is the key of its receipt.
func appendLoads(dst []byte, t *Table) []byte {
	return binary.BigEndian.AppendUint16(append(dst, spaceLoad), t.number)
}

func appendLoad(dst []byte, table uint16, sequence uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint16(append(dst, spaceLoad), table), sequence)
}

func appendTarget(dst []byte, space byte, target uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, space), target)
}

// appendDue appends a time so that times before 1970 sort first.
func appendDue(dst []byte, at int64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, spaceDue), uint64(at)^1<<63)
}

func appendDirty(dst []byte, target uint32, version int64) []byte {
	return binary.BigEndian.AppendUint64(appendTarget(dst, spaceDirty, target), uint64(version))
}

func appendWork(dst []byte, id uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, spaceWork), id)
}

// appendEnd appends the first key after all that begin with prefix.
func appendEnd(dst, prefix []byte) []byte {
	dst = append(dst, prefix...)
	for i := len(dst) - 1; i >= 0; i-- {
		if dst[i]++; dst[i] != 0 {
			return dst[:i+1]
		}
	}
	return dst[:0]
}

// state is what a commit leaves behind beside rows.
type state struct {
	sequence uint64
	version  int64
	position string
}

func (s state) append(dst []byte) []byte {
	dst = binary.AppendVarint(binary.AppendUvarint(dst, s.sequence), s.version)
	return append(dst, s.position...)
}

func parseState(data []byte) (state, error) {
	sequence, n := binary.Uvarint(data)
	if n <= 0 {
		return state{}, errors.New("its state cannot be read")
	}
	version, m := binary.Varint(data[n:])
	if m <= 0 {
		return state{}, errors.New("its state cannot be read")
	}
	return state{sequence: sequence, version: version, position: string(data[n+m:])}, nil
}
