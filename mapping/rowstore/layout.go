package rowstore

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"

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

	// Folds holds a Fold for each column whose collation needs one, nil for the
	// others; nil altogether where no column does.
	Folds []*Fold

	number uint16 // within the layout
}

// A Layout is the tables that a store holds, no two of one name.
type Layout struct{ Tables []*Table }

// Table returns the named table, or nil.
func (l *Layout) Table(schema, name string) *Table {
	for _, t := range l.Tables {
		if t.Schema == schema && t.Name == name {
			return t
		}
	}
	return nil
}

// Fingerprint covers what stored bytes depend on: tables, columns, types, keys,
// indexes and folds. The order of the tables does not matter.
func (l *Layout) Fingerprint() string {
	h := sha256.New()
	for _, t := range l.sorted() {
		fmt.Fprintf(h, "%q %q key %v", t.Schema, t.Name, t.Key)
		for i := range t.Columns {
			c := &t.Columns[i]
			fmt.Fprintf(h, " %q", c.Name)
			for of := &c.Type; of != nil; of = of.Elem {
				fmt.Fprintf(h, " %d %q", of.Kind, of.SQL)
			}
			if f := t.fold(i); f != nil {
				fmt.Fprintf(h, " fold %q", f.Name)
			}
		}
		fmt.Fprintf(h, " indexes %v\n", t.Indexes)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func (l *Layout) sorted() []*Table {
	return slices.SortedFunc(slices.Values(l.Tables), func(a, b *Table) int {
		if c := strings.Compare(a.Schema, b.Schema); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
}

// number gives each table the number that its keys in the store begin with.
func (l *Layout) number() error {
	tables := l.sorted()
	for n, t := range tables {
		switch {
		case n > math.MaxUint16:
			return fmt.Errorf("store %d tables: too many", len(tables))
		case n > 0 && tables[n-1].Schema == t.Schema && tables[n-1].Name == t.Name:
			return fmt.Errorf("store table %s: it is there twice", t)
		case len(t.Key) == 0:
			return fmt.Errorf("store table %s: it has no key", t)
		case len(t.Indexes) > math.MaxUint8:
			return fmt.Errorf("store table %s: it has too many indexes", t)
		}
		t.number = uint16(n)
	}
	return nil
}

func (t *Table) fold(column int) *Fold {
	if t.Folds == nil {
		return nil
	}
	return t.Folds[column]
}
