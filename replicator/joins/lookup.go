package joins

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"haystream/internal/fault"
	"haystream/mapping/rowstore"
	"haystream/replicator/reading"
	"haystream/sources"
)

// lookupValues is how many values are looked up at a time.
const lookupValues = 200

// A Lookup reads rows with suspected values of a table again, in several requests
// to the source. Rows that the store has with a value are read by key, so that
// those that have gone, or have another value now, are found. Rows that the store
// lacks are read by the value; there can be some only where the value is a part of
// the key, since a foreign key may have moved them to where all had been read.
type Lookup struct {
	table  *Table
	values []value
	since  int64           // changes up to this Version must be in what is read
	again  map[string]bool // by name: acted on while it is read

	at    int    // the value whose stored rows are being read
	after []byte // the key of the last of them

	keys map[string]sources.Key // rows that are being read by key, by their keys in the store

	byValue bool        // rows are being read by value
	page    sources.Key // the last one of them
	over    bool        // all of them were read
}

// Table is the table whose rows are read again. What is read must have the changes up
// to since.
func (l *Lookup) Table() (table *sources.Table, since int64) { return l.table.Source, l.since }

func (l *Lookup) has(name string) bool {
	return slices.ContainsFunc(l.values, func(v value) bool { return v.name == name })
}

// byKey reports whether the values are keys.
func (l *Lookup) byKey() bool { return slices.Equal(l.values[0].columns, l.table.Table.Key) }

// Request is what is to be read next.
func (l *Lookup) Request() (having *sources.Values, after sources.Key) {
	columns := l.table.Table.Key
	having = &sources.Values{}
	if l.byValue {
		columns = l.values[0].columns
		for _, v := range l.values {
			having.Of = append(having.Of, v.texts)
		}
		after = l.page
	} else {
		for _, key := range l.keys {
			having.Of = append(having.Of, key)
		}
	}
	for _, i := range columns {
		having.Columns = append(having.Columns, l.table.Columns[i])
	}
	return having, after
}

// Look begins or continues to read suspects again, and returns the lookup that waits to be
// asked of the source; nil where there is none.
func (j *Joins) Look() (*Lookup, error) {
	if j == nil || j.asked {
		return nil, nil
	}
	for {
		more, err := j.nextRequest()
		if err != nil || j.looking == nil {
			return nil, err
		}
		if more {
			j.asked = true
			return j.looking, nil
		}
		if err := j.looked(j.looking); err != nil {
			return nil, err
		}
	}
}

// nextRequest prepares the next request of the lookup that is under way, or of a new one;
// false where that is over, or nothing is to be read again.
func (j *Joins) nextRequest() (more bool, err error) {
	l := j.looking
	if l != nil && (len(l.keys) > 0 || l.byValue) {
		return true, nil
	}
	t := j.nextSuspected()
	if l == nil && t == nil {
		return false, nil
	}
	snap := j.store.Snapshot()
	defer func() { _ = snap.Release() }() // nothing is written
	if l == nil {
		if l, err = newLookup(snap, t, j.since); err != nil {
			return false, err
		}
		j.looking = l
	}
	return l.proceed(snap)
}

// nextSuspected is a table with suspects that is read whole; nil where there is none. It
// does not wait for other tables: what serves may need this one. One whose lookups
// bring nothing comes last.
func (j *Joins) nextSuspected() (table *Table) {
	for _, t := range j.tables {
		if t.load.Done && t.suspects > 0 && (table == nil || t.tried < table.tried) {
			table = t
		}
	}
	return table
}

// newLookup takes some suspects of a table, of the same columns.
func newLookup(from *rowstore.Snapshot, t *Table, since int64) (*Lookup, error) {
	l := &Lookup{table: t, since: since, again: map[string]bool{}, keys: map[string]sources.Key{}}
	prefix := t.Note(noteSuspect)
	err := from.Notes(prefix, func(note string) (bool, error) {
		v := value{name: strings.TrimPrefix(note, prefix)}
		data, err := from.Note(note)
		if err == nil {
			v.columns, v.encoded, err = parseSuspect(v.name)
		}
		if err == nil {
			v.texts, err = parseTexts(data[1:])
		}
		if err != nil {
			return false, err
		}
		if len(l.values) > 0 && !slices.Equal(v.columns, l.values[0].columns) {
			return false, nil
		}
		l.values = append(l.values, v)
		return len(l.values) < lookupValues, nil
	})
	if err == nil && len(l.values) == 0 {
		err = fmt.Errorf("%d are counted and none is noted", t.suspects)
	}
	if err != nil {
		return nil, fmt.Errorf("read suspects of table %s: %w", t.Source, err)
	}
	if l.byKey() {
		for _, v := range l.values {
			l.keys[string(v.encoded)] = v.texts
		}
		l.at = len(l.values)
	}
	return l, nil
}

// proceed prepares the next request; false where the lookup is over.
func (l *Lookup) proceed(from *rowstore.Snapshot) (more bool, err error) {
	if len(l.keys) > 0 {
		return true, nil
	}
	t := l.table
	for l.at < len(l.values) && len(l.keys) < lookupValues {
		v := l.values[l.at]
		var found [][]byte
		err := t.keys(from, v.columns, v.encoded, l.after, func(key []byte) (bool, error) {
			found = append(found, bytes.Clone(key))
			return len(l.keys)+len(found) < lookupValues, nil
		})
		if err != nil {
			return false, err
		}
		for _, key := range found {
			row, ok, err := from.Get(t.Table, key)
			if err != nil {
				return false, err
			}
			if ok {
				l.keys[string(key)] = row.Key(t.Table.Key)
			}
			l.after = key
		}
		if len(l.keys) < lookupValues {
			l.at, l.after = l.at+1, nil
		}
	}
	l.byValue = len(l.keys) == 0 && !l.over && !l.byKey() &&
		slices.ContainsFunc(l.values[0].columns, func(i int) bool { return slices.Contains(t.Table.Key, i) })
	return len(l.keys) > 0 || l.byValue, nil
}

// looked ends a lookup: what was not acted on meanwhile is no suspect any more.
func (j *Joins) looked(l *Lookup) error {
	j.looking = nil
	l.table.tried++
	err := j.write(j.applied, func(b *rowstore.Batch) error {
		for _, v := range l.values {
			if l.again[v.name] {
				continue
			}
			l.table.tried = 0
			if err := j.clear(b, l.table, v.name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("clear suspects of table %s: %w", l.table.Source, err)
	}
	fault.Point("suspects cleared")
	return j.Begin()
}

// Tries is how many lookups of the table before this one have brought nothing.
func (l *Lookup) Tries() int { return l.table.tried }

// GiveUp ends a lookup of a table that cannot be read now.
func (j *Joins) GiveUp(l *Lookup) {
	l.table.tried++
	j.looking, j.asked = nil, false
}

// Found stores what was read for a lookup; rows that were not found have gone.
func (j *Joins) Found(l *Lookup, chunk *sources.Chunk, h reading.Happened) error {
	fault.Point("suspects read")
	t := l.table
	err := j.write(j.applied, func(b *rowstore.Batch) error {
		if err := j.commitLoading(b); err != nil {
			return err
		}
		for _, row := range chunk.Rows {
			key, err := j.mergeRow(b, t, row, h, l)
			if err != nil {
				return fmt.Errorf("store row of table %s: %w", t.Source, err)
			}
			delete(l.keys, string(key))
			b.Forget()
		}
		if l.byValue || !chunk.Done {
			return nil
		}
		for key, texts := range l.keys {
			if err := j.gone(b, l, []byte(key), texts, h); err != nil {
				return fmt.Errorf("delete row of table %s: %w", t.Source, err)
			}
			b.Forget()
		}
		clear(l.keys)
		return nil
	})
	if l.byValue {
		l.page, l.over, l.byValue = chunk.Last, chunk.Done, !chunk.Done
	}
	j.asked = false
	return err
}

// readLater keeps a row a suspect that has changed since a lookup has read it: by its
// key, with what is noted of it; by another value, it may be any that was acted on.
// One that the log tells in part all the time holds up documents no longer.
func (j *Joins) readLater(b *rowstore.Batch, l *Lookup, v value) error {
	if l.byKey() && l.has(v.name) {
		l.again[v.name] = true
		note, err := j.suspicion(b, l.table, v.name)
		if err != nil || note == nil || note[0] != early {
			return err
		}
		return errors.Join(j.clear(b, l.table, v.name), j.suspect(b, l.table, v, late))
	}
	return j.suspect(b, l.table, v, acted)
}

// gone deletes a row that the source does not have.
func (j *Joins) gone(b *rowstore.Batch, l *Lookup, key []byte, texts sources.Key, h reading.Happened) error {
	t := l.table
	old, ok, err := b.Get(t.Table, key)
	if err != nil || !ok {
		return err
	}
	name, ok := t.keyInSource(nil, old)
	v := value{t.Table.Key, texts, key, suspectName(t.Table.Key, key)}
	switch {
	case h.Changed.Has(name):
		return nil
	case h.Acted.Has([]byte(v.name)):
		return j.suspect(b, t, v, acted)
	case h.Partial.Has(name), !ok && len(h.Changed)+len(h.Partial) > 0:
		return j.readLater(b, l, v)
	}
	old = rowstore.Merge(sources.NewArena(0), sources.Row{}, old)
	if err := j.appears(b, t, old, sources.Row{}, true); err != nil {
		return err
	}
	return j.replace(b, t, key, old, sources.Row{}, sources.Row{})
}

// keyInSource appends the name that windows have for a stored row; ok is false where
// the key that the table is read by is not stored.
func (t *Table) keyInSource(dst []byte, row sources.Row) (name []byte, ok bool) {
	var columns []int
	for _, i := range t.Source.Key {
		n := slices.Index(t.Columns, i)
		if n < 0 {
			return dst, false
		}
		columns = append(columns, n)
	}
	return reading.AppendName(dst, row, columns)[len(dst)+4:], true
}
