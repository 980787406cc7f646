package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pglogrepl"

	"haystream/sources"
)

// A decoder turns pgoutput messages of protocol version 1 into changes. Rows
// go into the batch's arena in the order of the projected columns; the hot
// path allocates nothing per row.
type decoder struct {
	resolve func(relationMessage) (*logRelation, error)
	widen   func(xid uint32) uint64 // called as each transaction begins

	record func(pglogrepl.LSN) string           // names a record of the log; nil: no messages are wanted
	text   func(content []byte) ([]byte, error) // makes UTF-8 of a message that is none, in memory of its own
	now    func() time.Time

	relations map[uint32]*logRelation
	last      *logRelation // of the last change: most come in runs
	lastOID   uint32
	new, old  []tupleField

	versions sources.Versioner
	inTx     bool
	tx       uint64
	commit   time.Time     // of the transaction that began last
	end      pglogrepl.LSN // after the last whole transaction
	version  int64         // the last one given out up to end
}

// decode adds what the message says to the batch and reports whether it ended
// a transaction.
func (d *decoder) decode(data []byte, batch *sources.Batch) (committed bool, err error) {
	if len(data) == 0 {
		return false, errors.New("decode message: it is empty")
	}
	m := message{rest: data[1:]}
	switch data[0] {
	case 'I':
		return false, d.insert(&m, batch)
	case 'U':
		return false, d.update(&m, batch)
	case 'D':
		return false, d.delete(&m, batch)
	case 'T':
		return false, d.truncate(&m, batch)
	case 'B':
		return false, d.beginTx(&m)
	case 'C':
		return true, d.commitTx(&m, batch)
	case 'R':
		return false, d.relation(&m)
	case 'M':
		return d.logicalMessage(&m, batch)
	case 'Y', 'O': // types are in the registry; origins are not about rows
		return false, nil
	}
	return false, fmt.Errorf("decode message: unknown kind %q", data[0])
}

// postgresEpoch is 2000-01-01 in microseconds since 1970.
const postgresEpoch = 946684800000000

func (d *decoder) beginTx(m *message) error {
	m.uint64() // where the commit record will be
	commit, xid := int64(m.uint64()), m.uint32()
	if err := m.err("begin"); err != nil {
		return err
	}
	if d.inTx {
		return errors.New("decode begin: in the middle of a transaction")
	}
	d.inTx, d.commit, d.tx = true, time.UnixMicro(commit+postgresEpoch), d.widen(xid)
	d.versions.Begin(d.commit)
	return nil
}

func (d *decoder) commitTx(m *message, batch *sources.Batch) error {
	m.uint8()  // flags, unused
	m.uint64() // where the commit record begins
	end := pglogrepl.LSN(m.uint64())
	m.uint64() // commit time, known since the begin message
	if err := m.err("commit"); err != nil {
		return err
	}
	if !d.inTx {
		return errors.New("decode commit: not in a transaction")
	}
	d.inTx = false
	d.advance(end)
	batch.Transactions++
	return nil
}

// logicalMessage reports true for a message that is in no transaction: it is whole.
func (d *decoder) logicalMessage(m *message, batch *sources.Batch) (whole bool, err error) {
	flags, at, prefix := m.uint8(), pglogrepl.LSN(m.uint64()), m.text()
	content := m.take(int(m.uint32()))
	if err := m.err("logical message"); err != nil {
		return false, err
	}
	name, found := strings.CutPrefix(prefix, sources.MessagePrefix)
	if !found || d.record == nil {
		return false, nil
	}
	whole = flags&1 == 0
	made := sources.Message{Name: name, ID: d.record(at), Time: d.commit, Read: whole}
	switch {
	case whole:
		made.Time = d.now()
	case !d.inTx:
		return false, errors.New("decode logical message: not in a transaction")
	}
	if utf8.Valid(content) {
		made.Body = bytes.Clone(content)
	} else if made.Body, err = d.text(content); err != nil {
		return false, fmt.Errorf("decode logical message: %w", err)
	}
	batch.Messages = append(batch.Messages, made)
	return whole, nil
}

// advance moves the end over log that is known to be whole.
func (d *decoder) advance(to pglogrepl.LSN) {
	d.end, d.version = max(d.end, to), d.versions.Last()
}

func (d *decoder) relation(m *message) error {
	r, err := decodeRelation(m)
	if err != nil {
		return err
	}
	d.last = nil
	d.relations[r.oid], err = d.resolve(r)
	return err
}

// change starts a change of the relation that the message names, and numbers
// it whether or not its table is in use: the numbers depend on the log alone.
// The relation is nil where there is nothing to emit.
func (d *decoder) change(oid uint32) (*logRelation, sources.Change, error) {
	r := d.last
	if r == nil || oid != d.lastOID {
		var known bool
		if r, known = d.relations[oid]; !known {
			return nil, sources.Change{}, fmt.Errorf("decode change: relation %d was not described", oid)
		}
		d.last, d.lastOID = r, oid
	}
	if !d.inTx {
		return nil, sources.Change{}, errors.New("decode change: not in a transaction")
	}
	version := d.versions.Next()
	if r == nil || r.table == nil {
		return nil, sources.Change{}, nil
	}
	return r, sources.Change{Table: r.table, Version: version, Tx: d.tx}, nil
}

// row starts a change of a row. The first one after the relation was described
// tells before it of columns that were others then.
func (d *decoder) row(oid uint32, batch *sources.Batch) (*logRelation, sources.Change, error) {
	r, c, err := d.change(oid)
	if err != nil || r == nil {
		return nil, c, err
	}
	if r.older != nil {
		stale := c
		stale.Kind, stale.Stale = sources.Stale, r.older
		batch.Changes = append(batch.Changes, stale)
		r.older = nil
	}
	if r.keyless {
		return nil, c, nil
	}
	return r, c, nil
}

func (d *decoder) insert(m *message, batch *sources.Batch) error {
	r, c, err := d.row(m.uint32(), batch)
	if err != nil || r == nil {
		return err
	}
	if m.uint8() != 'N' {
		return errors.New("decode insert: no new row")
	}
	d.new = m.tuple(d.new)
	if err := r.check(m, "insert", d.new); err != nil {
		return err
	}
	c.Kind = sources.Insert
	if c.After, err = r.newRow(batch.Arena, d.new, oldTuple{}); err != nil {
		return err
	}
	batch.Changes = append(batch.Changes, r.undecoded.Change(c))
	return nil
}

func (d *decoder) update(m *message, batch *sources.Batch) error {
	r, c, err := d.row(m.uint32(), batch)
	if err != nil || r == nil {
		return err
	}
	var old oldTuple
	kind := m.uint8()
	if kind == 'K' || kind == 'O' {
		d.old = m.tuple(d.old)
		if err := r.check(m, "update", d.old); err != nil {
			return err
		}
		old = oldTuple{fields: d.old, keyOnly: kind == 'K'}
		kind = m.uint8()
	}
	if kind != 'N' {
		return errors.New("decode update: no new row")
	}
	d.new = m.tuple(d.new)
	if err := r.check(m, "update", d.new); err != nil {
		return err
	}
	c.Kind = sources.Update
	if old.fields != nil {
		if c.Before, err = r.oldRow(batch.Arena, old); err != nil {
			return err
		}
	}
	if c.After, err = r.newRow(batch.Arena, d.new, old); err != nil {
		return err
	}
	batch.Changes = append(batch.Changes, r.undecoded.Change(c))
	return nil
}

func (d *decoder) delete(m *message, batch *sources.Batch) error {
	r, c, err := d.row(m.uint32(), batch)
	if err != nil || r == nil {
		return err
	}
	kind := m.uint8()
	if kind != 'K' && kind != 'O' {
		return errors.New("decode delete: no old row")
	}
	d.old = m.tuple(d.old)
	if err := r.check(m, "delete", d.old); err != nil {
		return err
	}
	c.Kind = sources.Delete
	if c.Before, err = r.oldRow(batch.Arena, oldTuple{fields: d.old, keyOnly: kind == 'K'}); err != nil {
		return err
	}
	batch.Changes = append(batch.Changes, r.undecoded.Change(c))
	return nil
}

// truncate emits one change per table: a partitioned one comes with all its partitions.
func (d *decoder) truncate(m *message, batch *sources.Batch) error {
	n := int(m.uint32())
	m.uint8() // options: CASCADE names the other tables too, RESTART IDENTITY does not matter
	first := len(batch.Changes)
	for range n {
		oid := m.uint32()
		if m.short {
			break
		}
		r, c, err := d.change(oid)
		if err != nil {
			return err
		}
		if r != nil && !truncated(batch.Changes[first:], r.table) {
			c.Kind, c.Stale = sources.Stale, &sources.Staleness{Reason: "was truncated", Emptied: r.name == r.table.String()}
			batch.Changes = append(batch.Changes, c)
		}
	}
	return m.err("truncate")
}

func truncated(changes []sources.Change, t *sources.Table) bool {
	for i := range changes {
		if changes[i].Table == t {
			return true
		}
	}
	return false
}
