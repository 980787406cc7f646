package rowstore

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"haystream/sources"
)

// A Fold makes texts that a collation holds equal the same bytes.
type Fold struct {
	Name   string // such as the collation's; part of the layout's fingerprint
	Append func(dst, text []byte) []byte
}

// A Table is a table whose rows are stored.
type Table struct {
	// Table is projected to the stored columns. Its Key identifies rows and must not be empty.
	*sources.Table

	// Indexes are the lists of columns that rows are looked up by: foreign
	// keys, or target columns that are not the key. They are named by their place.
	Indexes [][]int

	// Whole tells of each index whether rows that are found by it are wanted whole, rather than what leads on
	// from them; nil where that is so of none.
	Whole []bool

	// Folds holds a Fold for each column whose collation needs one, nil for the
	// others; nil altogether where no column does.
	Folds []*Fold

	number uint16  // within the store
	notes  string  // what names of its notes begin with
	links  [][]int // by index: the columns of the other indexes, but for its own
	pieces bool    // rows have, or had, texts that are stored in pieces
}

// Pieces reports whether a row may have large texts, which Replace and Remove can delete
// only where they are told what was stored.
func (t *Table) Pieces() bool { return t.pieces }

// A Layout is the tables that a store holds. There may be several of one name, of
// other columns each.
type Layout struct{ Tables []*Table }

// A Description is what a stored table is made of, in names.
type Description struct {
	Schema  string     `json:"schema"`
	Name    string     `json:"name"`
	Columns []string   `json:"columns"`
	Key     []string   `json:"key"`
	Indexes [][]string `json:"indexes,omitempty"`
	Whole   []bool     `json:"whole,omitempty"`

	// Epochs are those of the columns, in their order; none where all are 0.
	Epochs []int64 `json:"epochs,omitempty"`

	// Print covers all that stored rows depend on: these, and types and folds.
	Print string `json:"print"`
}

// Describe says what the table is made of.
func (t *Table) Describe() Description {
	d := Description{Schema: t.Schema, Name: t.Name, Key: t.Names(t.Key), Whole: t.Whole, Epochs: t.epochs(), Print: t.Print()}
	for i := range t.Columns {
		d.Columns = append(d.Columns, t.Columns[i].Name)
	}
	for _, index := range t.Indexes {
		d.Indexes = append(d.Indexes, t.Names(index))
	}
	return d
}

// epochs are those of the columns; nil where all are 0.
func (t *Table) epochs() []int64 {
	all, some := make([]int64, len(t.Columns)), false
	for i := range t.Columns {
		all[i] = t.Epochs.Of(t.Columns[i].Name)
		some = some || all[i] != 0
	}
	if !some {
		return nil
	}
	return all
}

// Print is the same for tables whose stored rows mean the same, and no others.
func (t *Table) Print() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q key %v", t.Schema, t.Name, t.Key)
	for i := range t.Columns {
		c := &t.Columns[i]
		fmt.Fprintf(h, " %q", c.Name)
		for of := &c.Type; of != nil; of = of.Elem {
			fmt.Fprintf(h, " %d %q", of.Kind, of.Unbounded())
		}
		if f := t.fold(i); f != nil {
			fmt.Fprintf(h, " fold %q", f.Name)
		}
	}
	fmt.Fprintf(h, " indexes %v whole %v epochs %v", t.Indexes, t.Whole, t.epochs())
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// linked returns the links of each index.
func (t *Table) linked() [][]int {
	all := make([][]int, len(t.Indexes))
	for n, own := range t.Indexes {
		for i := range t.Columns {
			if of := func(columns []int) bool { return slices.Contains(columns, i) }; !of(own) && slices.ContainsFunc(t.Indexes, of) {
				all[n] = append(all[n], i)
			}
		}
	}
	return all
}

// Note is the name of a note that goes when the table does. The table is in use.
func (t *Table) Note(name string) string { return t.notes + name }

// Note is the same of a table that the store holds.
func (d *Description) Note(name string) string { return "table/" + d.Print + "/" + name }

func (t *Table) fold(column int) *Fold {
	if t.Folds == nil {
		return nil
	}
	return t.Folds[column]
}
