package mysql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"haystream/sources"
)

// A rowReader reads row images (MySQL source, Rows_log_event). It keeps where
// an image's values are, so that a row costs no memory of its own.
type rowReader struct {
	image, old located
	parts      []byte            // a bit for each JSON column: the new image has its changed parts only; nil: of none
	patch      []byte            // of one value
	defaulted  bool              // new rows have got values that are columns' defaults
	undecoded  sources.Undecoded // of the change that is being read
}

// Places of columns that have no value in an image.
const (
	placeNull    = -1
	placeMissing = -2 // the image has no such column
)

// located is a row image with the places of its values.
type located struct {
	data     []byte
	from, to []int
}

// An imageSet is the columns that each image of an event has.
type imageSet struct{ before, after []byte }

// changes emits the changes of an event.
func (st *stream) changes(kind replication.EventType, body []byte) error {
	t, err := st.tableOf(body)
	if err != nil || t == nil || t.table == nil {
		return err
	}
	if !st.tx.open {
		return errors.New("rows outside a transaction")
	}
	data, images, change, err := splitRows(kind, body, len(t.names))
	if err != nil {
		return fmt.Errorf("rows of %s: %w", t.table, err)
	}
	if !slices.Contains(st.tx.wrote, t.table) {
		st.tx.wrote = append(st.tx.wrote, t.table)
	}
	cascades := false
	if change != sources.Insert {
		if cascades, err = st.cascades(t, body); err != nil {
			return err
		}
	}
	lacks := ""
	if st.conn.flavor == mariadbServer && change != sources.Delete {
		if lacks = t.lacks(images); lacks != "" && t.acts && change == sources.Update { // what foreign keys have done cannot be worked out
			return fmt.Errorf("%w: %s %s", sources.ErrPositionLost, t.table, st.incomplete(lacks))
		}
	}
	for first := true; len(data) > 0; first = false {
		var before, after sources.Row
		was, is := images.before != nil, images.after != nil
		a := st.arena()
		if images.before != nil {
			image := data
			if before, data, err = st.rows.row(a, t, images.before, data); err != nil {
				return fmt.Errorf("rows of %s: old image: %w", t.table, err)
			}
			was = st.rows.present(t, image, true)
		}
		if images.after != nil {
			st.rows.parts = nil
			if kind == replication.PARTIAL_UPDATE_ROWS_EVENT {
				if data, err = st.rows.options(t, data); err != nil {
					return fmt.Errorf("rows of %s: %w", t.table, err)
				}
			}
			image := data
			if after, data, err = st.rows.newRow(a, t, images.after, data, before); err != nil {
				return fmt.Errorf("rows of %s: new image: %w", t.table, err)
			}
			is = st.rows.present(t, image, was)
		}
		c := st.rows.undecoded.Change(t.change(was, is, cascades, before, after))
		switch {
		case lacks == "":
		case first:
			c = sources.Change{Table: t.table, Kind: sources.Stale, Stale: &sources.Staleness{Reason: st.incomplete(lacks)}}
		default: // it takes its Version all the same, as it does where other columns are in use
			c = sources.Change{Table: t.table, Kind: nothing}
		}
		if err := st.append(c); err != nil {
			return err
		}
	}
	if st.rows.defaulted {
		st.defaulted[t.table], st.rows.defaulted = true, false
	}
	return nil
}

// change is what happens to a row that was there, or is there now, or both. One
// of the past that is kept, or thrown away, is no change.
func (t *logTable) change(was, is, cascades bool, before, after sources.Row) sources.Change {
	c := sources.Change{Table: t.table, Kind: nothing}
	switch {
	case was && is:
		c.Kind, c.Before, c.After, c.Cascades = sources.Update, before, after, cascades
	case was:
		c.Kind, c.Before, c.Cascades = sources.Delete, before, cascades
	case is:
		c.Kind, c.After = sources.Insert, after
	}
	return c
}

// present reports whether the image that was just located is of a row that is
// there now. Where the image does not say, it is as before.
func (r *rowReader) present(t *logTable, image []byte, before bool) bool {
	if t.end < 0 {
		return true
	}
	switch at := r.image.from[t.end]; at {
	case placeMissing:
		return before
	case placeNull:
		return true
	default:
		return present(image[at:min(len(image), at+endSize)])
	}
}

// Flags of rows (MySQL source, Rows_event::enum_flag; "Replication and Foreign
// Keys" in the manual for that of MySQL 9.6, which MariaDB does not have).
const (
	flagNoForeignKeys     = 1 << 1
	flagServerForeignKeys = 1 << 4
)

// cascades reports whether foreign keys have acted on other tables without a
// word in the log.
func (st *stream) cascades(t *logTable, body []byte) (bool, error) {
	flags := binary.LittleEndian.Uint16(body[6:])
	if flags&flagNoForeignKeys != 0 || st.catalog.flavor == mysqlServer && flags&flagServerForeignKeys != 0 {
		return false, nil
	}
	if st.catalog.cascadesLogged && t.acts {
		return false, fmt.Errorf("%w: rows of %s were changed where InnoDB carries out foreign keys, by a source of this server or before it was upgraded; "+
			"write innodb_native_foreign_keys=ON in its option file and restart it", sources.ErrConfig, t.table)
	}
	return true, nil
}

// splitRows takes the fields off that precede the rows.
func splitRows(kind replication.EventType, body []byte, columns int) (rows []byte, images imageSet, change sources.ChangeKind, err error) {
	data := body[8:] // table and flags
	switch kind {
	case replication.WRITE_ROWS_EVENTv2, replication.UPDATE_ROWS_EVENTv2, replication.DELETE_ROWS_EVENTv2, replication.PARTIAL_UPDATE_ROWS_EVENT:
		if len(data) < 2 || len(data) < int(binary.LittleEndian.Uint16(data)) {
			return nil, images, 0, errShort
		}
		data = data[max(2, binary.LittleEndian.Uint16(data)):]
	}
	if len(data) < 9 {
		data = append(make([]byte, 0, 16), data...)[:len(data)]
	}
	count, _, size := mysql.LengthEncodedInt(data)
	if count != uint64(columns) {
		return nil, images, 0, fmt.Errorf("%d columns, the table's description has %d", count, columns)
	}
	data = data[size:]
	bitmap := (columns + 7) / 8
	take := func() (part []byte) {
		if len(data) < bitmap {
			err = errShort
			return nil
		}
		part, data = data[:bitmap:bitmap], data[bitmap:]
		if spare := columns & 7; spare > 0 {
			part[bitmap-1] &= 1<<spare - 1 // the server sets bits of no column, too
		}
		return part
	}
	compressed := false
	switch kind {
	case replication.MARIADB_WRITE_ROWS_COMPRESSED_EVENT_V1, replication.MARIADB_UPDATE_ROWS_COMPRESSED_EVENT_V1, replication.MARIADB_DELETE_ROWS_COMPRESSED_EVENT_V1:
		compressed = true
	}
	switch kind {
	case replication.WRITE_ROWS_EVENTv1, replication.WRITE_ROWS_EVENTv2, replication.MARIADB_WRITE_ROWS_COMPRESSED_EVENT_V1:
		change, images.after = sources.Insert, take()
	case replication.DELETE_ROWS_EVENTv1, replication.DELETE_ROWS_EVENTv2, replication.MARIADB_DELETE_ROWS_COMPRESSED_EVENT_V1:
		change, images.before = sources.Delete, take()
	default:
		change, images.before, images.after = sources.Update, take(), take()
	}
	if err == nil && compressed {
		if len(data) == 0 {
			return nil, images, 0, errShort
		}
		data, err = mysql.DecompressMariadbData(data)
	}
	return data, images, change, err
}

// lacks is a column that new images leave out and that need not be as it was; empty:
// there is none. MariaDB leaves out of a new row what has its column's default, which
// is not known. It logs as an update what a REPLACE does
// to a row, and leaves out the columns that it has set to their defaults; it
// also leaves out generated columns that have changed with others.
func (t *logTable) lacks(images imageSet) string {
	has := func(image []byte, i int) bool { return image[i>>3]&(1<<(i&7)) != 0 }
	for i := range t.cells {
		cell := &t.cells[i]
		if cell.at < 0 || has(images.after, cell.at) || images.before != nil && has(images.before, cell.at) {
			continue
		}
		if images.before == nil {
			return t.names[cell.at]
		}
		if cell.computed || !slices.ContainsFunc(t.replacing, func(at int) bool { return !has(images.after, at) }) {
			return t.names[cell.at]
		}
	}
	return ""
}

// incomplete says that a column's values are not in the log.
func (st *stream) incomplete(column string) string {
	return fmt.Sprintf("was changed without its column %s in the log, though that may be another now; run: %s, and let no session set another",
		column, st.conn.flavor.set("binlog_row_image", "FULL"))
}

// row adds an image.
func (r *rowReader) row(a *sources.Arena, t *logTable, present, data []byte) (sources.Row, []byte, error) {
	rest, err := r.locate(t, present, data)
	if err != nil {
		return sources.Row{}, nil, err
	}
	a.Reserve(len(data) - len(rest))
	a.StartRow(len(t.cells))
	for i := range t.cells {
		if r.place(&t.cells[i]) == placeMissing {
			a.Missing()
		} else if err := r.value(a, t, i, data); err != nil {
			return sources.Row{}, nil, err
		}
	}
	return a.EndRow(), rest, nil
}

// newRow adds a new image. Values that it leaves out are taken from the old
// row, or where there is none from the columns' defaults.
func (r *rowReader) newRow(a *sources.Arena, t *logTable, present, data []byte, old sources.Row) (sources.Row, []byte, error) {
	rest, err := r.locate(t, present, data)
	if err != nil {
		return sources.Row{}, nil, err
	}
	a.Reserve(len(data) - len(rest))
	a.StartRowAfter(old, len(t.cells))
	for i := range t.cells {
		cell := &t.cells[i]
		switch missing := r.place(cell) == placeMissing; {
		case !old.IsZero() && (missing || r.unchanged(cell)):
			a.Repeat(old, i)
		case missing:
			cell.unset.add(a)
			r.defaulted = r.defaulted || cell.unset.kind == unsetNull || cell.unset.kind == unsetText
		case r.isPart(cell):
			if err := r.part(a, i, data[r.image.from[cell.at]:r.image.to[cell.at]], old); err != nil {
				if err = r.undecoded.Fail(t.names[cell.at], err); err != nil {
					return sources.Row{}, nil, err
				}
				a.Missing()
			}
		default:
			if err := r.value(a, t, i, data); err != nil {
				return sources.Row{}, nil, err
			}
		}
	}
	return a.EndRow(), rest, nil
}

// options takes off what precedes a new image that may have parts of JSON
// values only (MySQL source, sql/rpl_record.cc, unpack_row).
func (r *rowReader) options(t *logTable, data []byte) ([]byte, error) {
	const partialJSON = 1
	if len(data) == 0 || data[0] > partialJSON {
		return nil, errors.New("it has options that are not known")
	}
	set, data := data[0] == partialJSON, data[1:]
	if !set {
		return data, nil
	}
	size := (t.documents + 7) / 8
	if len(data) < size {
		return nil, errShort
	}
	r.parts = data[:size]
	return data[size:], nil
}

// isPart reports whether the new image, which has the cell, has changed parts of it only.
func (r *rowReader) isPart(cell *logCell) bool {
	return r.parts != nil && cell.document >= 0 && r.parts[cell.document>>3]&(1<<(cell.document&7)) != 0 && r.image.from[cell.at] != placeNull
}

// unchanged reports whether the new image has the very bytes of the old one in the
// cell. Parts of a JSON value are not the value.
func (r *rowReader) unchanged(cell *logCell) bool {
	was, is := r.old.from[cell.at], r.image.from[cell.at]
	return was >= 0 && is >= 0 && !r.isPart(cell) && bytes.Equal(r.old.data[was:r.old.to[cell.at]], r.image.data[is:r.image.to[cell.at]])
}

// place is where the cell's value is in the image.
func (r *rowReader) place(cell *logCell) int {
	if cell.at < 0 {
		return placeMissing
	}
	return r.image.from[cell.at]
}

// value adds the value of cell i, which the image has.
func (r *rowReader) value(a *sources.Arena, t *logTable, i int, data []byte) error {
	cell := &t.cells[i]
	start := r.image.from[cell.at]
	if start == placeNull {
		a.Null()
		return nil
	}
	value := data[start:r.image.to[cell.at]]
	if cell.convert == nil {
		a.Text(value)
		return nil
	}
	text, err := cell.convert(a.Buffer(), value)
	if err != nil {
		a.Missing()
		return r.undecoded.Fail(t.names[cell.at], err)
	}
	a.Value(text)
	return nil
}

// locate finds the values of the image that data begins with, and returns what
// follows it. The image that was located before it becomes the old one.
func (r *rowReader) locate(t *logTable, present, data []byte) (rest []byte, err error) {
	r.image, r.old = r.old, r.image
	if len(r.image.from) < len(t.names) {
		r.image.from, r.image.to = make([]int, len(t.names)), make([]int, len(t.names))
	}
	r.image.data = data
	held := 0
	for _, b := range present {
		held += bits.OnesCount8(b)
	}
	at := (held + 7) / 8
	if len(data) < at {
		return nil, errShort
	}
	nulls, n := data[:at], 0
	for i := range t.names {
		if present[i>>3]&(1<<(i&7)) == 0 {
			r.image.from[i] = placeMissing
			continue
		}
		null := nulls[n>>3]&(1<<(n&7)) != 0
		if n++; null {
			r.image.from[i] = placeNull
			continue
		}
		layout := &t.layouts[i]
		end, err := layout.cut(data[at:])
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", t.names[i], err)
		}
		r.image.from[i], r.image.to[i] = at+layout.prefix, at+end
		at += end
	}
	return data[at:], nil
}

// arena is where rows of the open transaction go.
func (st *stream) arena() *sources.Arena {
	if st.prepared.open != nil {
		return st.prepared.open.Arena
	}
	return st.batch.Arena
}

// append adds a change to the batch, or holds it where its transaction is to be prepared.
func (st *stream) append(c sources.Change) error {
	c.Tx = st.tx.id
	if open := st.prepared.open; open != nil {
		open.Changes = append(open.Changes, c)
		return st.prepared.room()
	}
	if !st.tx.numbers {
		st.versions.Begin(st.tx.commit)
		st.tx.numbers, st.commit = true, st.tx.commit
	}
	c.Version = st.versions.Next()
	if c.Kind == nothing {
		return nil
	}
	st.batch.Changes = append(st.batch.Changes, c)
	if st.batch.Full() {
		return st.send()
	}
	return nil
}

// nothing is a change that takes a Version and is not sent: numbers depend on
// the log alone, whatever is made of it.
const nothing sources.ChangeKind = 0
