package sources

import "slices"

// A Table is a table of the source's catalog, whole or projected to the
// columns that definitions use.
type Table struct {
	Schema  string
	Name    string
	Columns []Column

	// Home: the table's schema is the one that names without a schema are
	// looked up in first.
	Home bool

	// Open: any other name is that of a column as well, as Member makes it.
	Open bool

	// Key holds the indexes in Columns of the columns that identify a row:
	// the primary key, else the first usable unique key, else none.
	Key []int

	// Identity says which old values the log carries for an update or delete.
	Identity Identity

	// IdentityColumns holds the indexes in Columns that the log carries as the
	// row's old values when Identity is IdentityKey.
	IdentityColumns []int

	// ForeignKeys are the table's references to others, by name.
	ForeignKeys []ForeignKey

	// WholeRows is the statement that makes the log carry every column of a
	// changed row; empty where it does.
	WholeRows string

	// LogOnly: the table keeps no rows. Inserts are in the log and nowhere else, updates
	// and deletes are nowhere.
	LogOnly bool

	// EstimatedRows is the planner's estimate; -1 where unknown.
	EstimatedRows int64

	// Ordinal is the table's index in the projected list given to Stream.
	Ordinal int

	// Fingerprint tells what the rows' meaning depends on that the log does not
	// tell, for all columns, also in a projected table.
	Fingerprint Fingerprint

	// Epochs are set by the caller of Catalog: what it holds of earlier ones is stale.
	Epochs Epochs
}

// A ForeignKey is a reference that the server holds to. Its columns need not
// be among those of a projected table.
type ForeignKey struct {
	Name    string
	Columns []string

	// Schema, Table and Targets are what the Columns refer to, one by one.
	Schema, Table string
	Targets       []string

	// OnDelete and OnUpdate are what happens to the rows that refer to one
	// that goes, or changes its key.
	OnDelete, OnUpdate ReferenceAction

	// Unlogged: the log has nothing of what the actions do.
	Unlogged bool
}

// A ReferenceAction is what a foreign key does to rows that refer to another.
type ReferenceAction string

// The actions, in SQL's words. Restrict stands for all that refuse the change.
const (
	Restrict   ReferenceAction = "RESTRICT"
	Cascade    ReferenceAction = "CASCADE"
	SetNull    ReferenceAction = "SET NULL"
	SetDefault ReferenceAction = "SET DEFAULT"
)

// Identity says which old values of a row the log carries.
type Identity uint8

// Replica identities.
const (
	IdentityNone Identity = iota // nothing: updates and deletes cannot be followed
	IdentityKey                  // the key columns
	IdentityFull                 // every column
)

// CarriesOld reports whether the log carries column i's old value whenever it changed.
func (t *Table) CarriesOld(i int) bool {
	return t.Identity == IdentityFull || t.Identity == IdentityKey && slices.Contains(t.IdentityColumns, i)
}

// A Column of a Table.
type Column struct {
	Name    string
	Type    Type
	NotNull bool

	// Unvalidated names a NOT NULL constraint that old rows were not held to, so that
	// NotNull is false and a unique key of the column does not identify a row.
	Unvalidated string

	// Collation is what texts are compared by, where that may hold texts of
	// different bytes equal; else empty.
	Collation string

	// Raw: the server does not promise that texts are UTF-8. They are given as they are.
	Raw bool

	// MayBeMissing: an update's new image may leave the value out where it did
	// not change (a column of a table with TOASTed values and without full old images, a partial row image).
	MayBeMissing bool

	// Generated columns are computed by the server; NotLogged ones are absent
	// from the log and so cannot be replicated.
	Generated bool
	NotLogged bool
}

// String is the table's name as configuration writes it: schema.table.
func (t *Table) String() string { return t.Schema + "." + t.Name }

// Column returns the index of the named column, or -1.
func (t *Table) Column(name string) int {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// A table that stands for events has this schema, and these columns beside the members that are used.
const (
	EventsSchema = "events"
	EventID      = "id"
	EventCreated = "created"
)

// Member is a column of an Open table: a JSON value, of which nothing is known before it comes.
func Member(name string) Column {
	return Column{Name: name, Type: Type{Kind: JSON, SQL: "json"}}
}

// Project returns a copy of the table that has only the columns for which keep
// reports true, and always those of its key and replica identity.
func (t *Table) Project(keep func(i int) bool) *Table {
	p := *t
	p.Columns = nil
	p.Key, p.IdentityColumns = make([]int, len(t.Key)), make([]int, len(t.IdentityColumns))
	at := make([]int, len(t.Columns))
	need := make([]bool, len(t.Columns))
	for _, i := range t.Key {
		need[i] = true
	}
	for _, i := range t.IdentityColumns {
		need[i] = true
	}
	for i := range t.Columns {
		if need[i] || keep(i) {
			at[i] = len(p.Columns)
			p.Columns = append(p.Columns, t.Columns[i])
		}
	}
	for n, i := range t.Key {
		p.Key[n] = at[i]
	}
	for n, i := range t.IdentityColumns {
		p.IdentityColumns[n] = at[i]
	}
	return &p
}
