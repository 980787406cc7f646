package rowstore

import (
	"encoding/binary"
	"errors"
	"slices"

	"haystream/sources"
)

// A text of more than pieceBytes is stored in pieces of that size, so that
// neither a Batch nor the storage engine holds all of it, or several times.
const pieceBytes = 256 << 10

// large reports whether a row has a text that is stored in pieces.
func (s *Store) large(row sources.Row) bool {
	for i := range row.Len() {
		if len(row.Text(i)) > s.options.pieceBytes {
			return true
		}
	}
	return false
}

// stamp is another one for each row that is written, and later than those before.
func (b *Batch) stamp() uint64 { return b.next.sequence<<20 | b.stamps }

// putPieces stores the large texts of a row. They are written ahead of the
// Batch, under its stamp: nothing refers to them before it is committed. What is
// left of a Batch that was not goes with the next large row of that key.
func (b *Batch) putPieces(t *Table, key []byte, row sources.Row) error {
	if !b.store.large(row) {
		return nil
	}
	t.pieces = true
	stamp := b.stamp()
	b.stamps++
	for i := range row.Len() {
		text := row.Text(i)
		if len(text) <= b.store.options.pieceBytes {
			continue
		}
		for n := uint32(0); len(text) > 0; n++ {
			piece := text[:min(len(text), b.store.options.pieceBytes)]
			text = text[len(piece):]
			b.to = appendPiece(b.to[:0], t, key, stamp, i, n)
			if err := b.putPiece(piece); err != nil {
				return err
			}
		}
	}
	return nil
}

// putPiece stores a piece under the key in b.to.
func (b *Batch) putPiece(piece []byte) error {
	if b.truncated { // what is written ahead would go with the rest
		return b.written("store row", b.of.Set(b.to, piece, nil))
	}
	ahead := b.store.db.NewBatchWithSize(len(b.to) + len(piece) + 64)
	err := b.written("store row", ahead.Set(b.to, piece, nil))
	if err == nil {
		err = b.store.apply(ahead, false)
	}
	return errors.Join(err, ahead.Close())
}

// deletePieces deletes those of the row with a key that have an earlier stamp.
func (b *Batch) deletePieces(t *Table, key []byte) error {
	b.from = append(appendPieceSpace(b.from[:0], t), key...)
	b.to = binary.BigEndian.AppendUint64(append(b.to[:0], b.from...), b.stamp())
	return b.written("delete row", b.of.DeleteRange(b.from, b.to, nil))
}

// pieces adds a cell that holds a text of so many bytes, stored in pieces.
func (r *reader) pieces(t *Table, key []byte, stamp uint64, column, size int) error {
	text := slices.Grow(r.rows.Buffer(), size)
	for n := uint32(0); size > 0; n++ {
		r.piece = appendPiece(r.piece[:0], t, key, stamp, column, n)
		piece, closer, err := r.from.Get(r.piece)
		if err != nil {
			return err
		}
		text, size = append(text, piece...), size-len(piece)
		if err := closer.Close(); err != nil {
			return err
		}
	}
	if size < 0 {
		return errCell
	}
	r.rows.Value(text)
	return nil
}

func appendPieceSpace(dst []byte, t *Table) []byte {
	return binary.BigEndian.AppendUint16(append(dst, spacePiece), t.number)
}

func appendPiece(dst []byte, t *Table, key []byte, stamp uint64, column int, n uint32) []byte {
	dst = binary.BigEndian.AppendUint64(append(appendPieceSpace(dst, t), key...), stamp)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(dst, uint16(column)), n)
}
