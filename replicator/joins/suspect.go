package joins

import (
	"encoding/binary"
	"errors"
	"slices"

	"haystream/internal/fault"
	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/sources"
)

// A suspect is a value of some columns of a stored table whose rows may not be
// as the source has them:
//
//   - a foreign key has acted on them, unlogged, while they were not all read; or
//   - the log has left out a part of a row that the store does not have.
//
// Suspects are noted in the store, in the batch of what made them so. When their
// table is read whole, their rows are read again by key (see lookup). Documents are
// rendered only from tables without suspects of the first kind; rows of the second come late, unless they came while
// their table was being read.

// noteSuspect is what the names of a table's suspects begin with.
const noteSuspect = "suspect/"

// suspectName names a value of columns: how many columns, which, and the value
// as the row store orders it.
func suspectName(columns []int, value []byte) string {
	name := make([]byte, 0, 1+2*len(columns)+len(value))
	name = append(name, byte(len(columns)))
	for _, i := range columns {
		name = binary.BigEndian.AppendUint16(name, uint16(i))
	}
	return string(append(name, value...))
}

// parseSuspect returns what suspectName was given.
func parseSuspect(name string) (columns []int, value []byte, err error) {
	if len(name) == 0 || len(name) < 1+2*int(name[0]) {
		return nil, nil, errSuspect
	}
	n := int(name[0])
	for i := range n {
		columns = append(columns, int(binary.BigEndian.Uint16([]byte(name[1+2*i:]))))
	}
	return columns, []byte(name[1+2*n:]), nil
}

var errSuspect = errors.New("a suspect cannot be read")

// appendTexts appends a value as the source takes it, and parseTexts reads it.
func appendTexts(dst []byte, texts sources.Key) []byte {
	for _, text := range texts {
		dst = append(binary.AppendUvarint(dst, uint64(len(text))), text...)
	}
	return dst
}

func parseTexts(data []byte) (texts sources.Key, err error) {
	for len(data) > 0 {
		n, size := binary.Uvarint(data)
		if size <= 0 || n > uint64(len(data)-size) {
			return nil, errSuspect
		}
		texts, data = append(texts, string(data[size:size+int(n)])), data[size+int(n):]
	}
	return texts, nil
}

// A value is the values of some columns of a stored table's rows.
type value struct {
	columns []int
	texts   sources.Key
	encoded []byte
	name    string
}

// valueOf is the value that rows of a table have in columns, where other columns
// of a row of any table say it; ok is false where it is NULL, or not known.
func (t *Table) valueOf(columns []int, row sources.Row, from []int) (v value, ok bool) {
	if row.IsZero() || slices.ContainsFunc(from, func(i int) bool { return row.Null(i) || row.Missing(i) }) {
		return v, false
	}
	return t.value(columns, row.Key(from)), true
}

// value is the value that texts are in columns of a table.
func (t *Table) value(columns []int, texts sources.Key) value {
	v := value{columns: columns, texts: texts}
	a := sources.NewArena(0)
	a.StartRow(len(t.Table.Columns))
	for i := range t.Table.Columns {
		if n := slices.Index(columns, i); n >= 0 {
			a.Text([]byte(texts[n]))
		} else {
			a.Null()
		}
	}
	v.encoded, _ = rowstore.AppendKey(nil, t.Table, a.EndRow(), columns)
	v.name = suspectName(columns, v.encoded)
	return v
}

// referring is the value that rows have which refer to a row by a foreign key.
func (j *Joins) referring(k *mapping.Cascade, row sources.Row) (v value, ok bool) {
	columns, targets := k.Lookup()
	return j.tables[k.Child.Ordinal].valueOf(columns, row, targets)
}

// referred is the value by which a row refers to another by a foreign key.
func (t *Table) referred(k *mapping.Cascade, row sources.Row) (v value, ok bool) {
	columns, _ := k.Lookup()
	return t.valueOf(columns, row, columns)
}

// What begins the note of a suspect.
const (
	acted = iota // a foreign key may have acted on its rows
	late         // the log has told a part of its row, which comes late
	early        // the same, while the table was being read: documents wait until it is looked up once
)

// waits reports whether documents wait for what is noted so.
func waits(why byte) bool { return why != late }

// suspect notes that rows with a value may not be as the source has them. One that
// is being read again stays a suspect.
func (j *Joins) suspect(b *rowstore.Batch, t *Table, v value, why byte) error {
	if l := j.looking; l != nil && l.table == t && l.has(v.name) {
		l.again[v.name] = true
	}
	note, err := j.suspicion(b, t, v.name)
	if err != nil || note != nil && (note[0] == acted || note[0] == why || waits(note[0]) && !waits(why)) {
		return err
	}
	if note != nil {
		t.count(v.name, note[0], -1)
	}
	t.count(v.name, why, 1)
	fault.Point("suspected")
	return b.Set(t.Note(noteSuspect+v.name), appendTexts([]byte{why}, v.texts))
}

// suspected reports whether a value is noted.
func (j *Joins) suspected(from rowstore.Reader, t *Table, name string) (bool, error) {
	note, err := j.suspicion(from, t, name)
	return note != nil, err
}

// suspicion is what is noted of a value; nil where nothing is.
func (j *Joins) suspicion(from rowstore.Reader, t *Table, name string) ([]byte, error) {
	if t.suspects == 0 {
		return nil, nil
	}
	note, err := from.Note(t.Note(noteSuspect + name))
	if err == nil && note != nil && len(note) == 0 {
		err = errSuspect
	}
	return note, err
}

// clear takes a suspect off.
func (j *Joins) clear(b *rowstore.Batch, t *Table, name string) error {
	note, err := j.suspicion(b, t, name)
	if err != nil || note == nil {
		return err
	}
	t.count(name, note[0], -1)
	return b.Set(t.Note(noteSuspect+name), nil)
}

func (t *Table) count(name string, why byte, n int) {
	t.suspects += n
	if !waits(why) {
		t.late += n
	}
	if columns, _, err := parseSuspect(name); err != nil || slices.ContainsFunc(columns, func(i int) bool { return slices.Contains(t.Table.Key, i) }) {
		t.absent += n
	}
}

// suspectRow makes one row a suspect, by its key.
func (j *Joins) suspectRow(b *rowstore.Batch, t *Table, row sources.Row, why byte) error {
	v, ok := t.valueOf(t.Table.Key, row, t.Table.Key)
	if !ok {
		return errors.New("the log left out the row's key")
	}
	return j.suspect(b, t, v, why)
}

// suspectIfStored makes a value a suspect where the store has rows with it.
func (j *Joins) suspectIfStored(b *rowstore.Batch, t *Table, v value) error {
	found := false
	err := t.keys(b, v.columns, v.encoded, nil, func([]byte) (bool, error) {
		found = true
		return false, nil
	})
	if err != nil || !found {
		return err
	}
	return j.suspect(b, t, v, acted)
}

// keys gives the keys of the rows with a value of columns, from the first one after a key.
// Where columns have no index all rows are read; that ends the validity of those before.
func (t *Table) keys(from rowstore.Reader, columns []int, encoded, after []byte, each func(key []byte) (bool, error)) error {
	if slices.Equal(columns, t.Table.Key) {
		if after != nil {
			return nil
		}
		_, ok, err := from.Get(t.Table, encoded)
		if err == nil && ok {
			_, err = each(encoded)
		}
		return err
	}
	if n := slices.IndexFunc(t.Indexes, func(index []int) bool { return slices.Equal(index, columns) }); n >= 0 {
		return from.Keys(t.Table, n, encoded, after, each)
	}
	var value []byte
	return from.All(t.Table, after, func(key []byte, row sources.Row) (bool, error) {
		defer from.Forget()
		var null bool
		if value, null = rowstore.AppendKey(value[:0], t.Table, row, columns); null || string(value) != string(encoded) {
			return true, nil
		}
		return each(key)
	})
}

// known reports whether the store has a table as the source has it, but for rows
// that come late.
func (t *Table) known() bool { return t.load.Done && t.suspects == t.late && !t.sweep }

// beingRead reports whether rows of a table that the store is to have may be on their way
// from the source, read before what is done now. Rows that come late are such, too.
func (t *Table) beingRead() bool { return !t.load.Done || t.suspects > 0 || t.sweep }

// known reports whether the store has all tables so.
func (j *Joins) known() bool {
	return !j.behind && !slices.ContainsFunc(j.tables, func(t *Table) bool { return !t.known() })
}

// mustSweep notes that rows of tables may refer to some that have gone unseen.
func (j *Joins) mustSweep(b *rowstore.Batch, tables []*Table) error {
	for _, t := range tables {
		if j.sweeping != nil && j.sweeping.table == t {
			j.sweeping.again = true
		}
		if t.sweep {
			continue
		}
		t.sweep = true
		if err := writeNote(b, t.Note(noteSweep), true); err != nil {
			return err
		}
	}
	return nil
}

// appears looks for rows that refer to one which comes anew, or changes what is
// referred to: those that are stored may have referred to a former one, and have
// gone with it. reread: the row was found changed, so that what it was counts, too.
func (j *Joins) appears(b *rowstore.Batch, t *Table, old, row sources.Row, reread bool) error {
	for _, k := range t.Cascades {
		child := j.tables[k.Child.Ordinal]
		if child.known() && !reread || !old.IsZero() && !row.IsZero() && old.Same(row, k.Targets...) {
			continue
		}
		images := []sources.Row{row}
		if reread {
			images = append(images, old)
		}
		for _, image := range images {
			v, ok := j.referring(k, image)
			if !ok {
				continue
			}
			j.windows.Act(child.Source, v.name)
			if err := j.suspectIfStored(b, child, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// A sweep looks for rows of a table that refer to nothing, a slice at a time, and
// makes what they refer to suspects. Rows that the source itself has so are found
// again, and stay.
type sweep struct {
	table *Table
	after []byte
	again bool // what was looked at may refer to rows that have gone since
}

// nextSweep begins one where a table is to be swept and nothing else is open.
func (j *Joins) nextSweep() *sweep {
	if j.sweeping == nil && j.loaded() && !slices.ContainsFunc(j.tables, func(t *Table) bool { return t.suspects > 0 }) {
		if n := slices.IndexFunc(j.tables, func(t *Table) bool { return t.sweep }); n >= 0 {
			j.sweeping = &sweep{table: j.tables[n]}
		}
	}
	return j.sweeping
}

// sweep goes on with the sweep that is under way.
func (j *Joins) sweep(s *sweep) error {
	t := s.table
	err := j.write(j.applied, func(b *rowstore.Batch) error {
		n := 0
		err := b.All(t.Table, s.after, func(key []byte, row sources.Row) (bool, error) {
			defer b.Forget()
			s.after = append(s.after[:0], key...)
			for _, k := range t.above {
				if dangles, err := k.Dangles(b, row); err != nil || !dangles {
					if err != nil {
						return false, err
					}
					continue
				}
				if v, ok := t.referred(k, row); ok {
					if err := j.suspect(b, t, v, acted); err != nil {
						return false, err
					}
				}
			}
			n++
			return n < sliceKeys, nil
		})
		if err != nil || n == sliceKeys {
			return err
		}
		j.sweeping = nil
		if s.again {
			return nil
		}
		t.sweep = false
		return writeNote(b, t.Note(noteSweep), false)
	})
	if err != nil {
		return err
	}
	return j.Begin()
}
