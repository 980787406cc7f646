package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"haystream/sources"
)

// patience bounds every wait; a test that runs into it has failed.
const patience = time.Minute

// A fixture is one test's tables, source and session.
type fixture struct {
	testing.TB
	Harness
	name   string
	source sources.Source
	main   Session
	tables []*sources.Table // as prepared
	start  sources.Checkpoint
	fences int
	raise  func(n int)      // puts a row with the key n into the fence
	opened []sources.Source // closed when what they made is removed
}

const fenceTable = "fence"

func newFixture(t testing.TB, h Harness, name string) *fixture {
	f := &fixture{TB: t, Harness: h, name: "suite_" + name}
	f.main = f.open()
	f.begin()
	f.raise = func(n int) { f.exec(fmt.Sprintf("INSERT INTO %s VALUES (%d)", fenceTable, n)) }
	f.create(fenceTable, "id INTEGER NOT NULL PRIMARY KEY")
	return f
}

// begin makes the source, which is closed at last.
func (f *fixture) begin() {
	f.Cleanup(func() {
		for _, s := range f.opened {
			s.Close()
		}
	})
	f.source = f.newSource()
}

// newSource makes one more source of the test's name.
func (f *fixture) newSource() sources.Source {
	source := f.Source(f, f.name)
	f.opened = append(f.opened, source)
	return source
}

func (f *fixture) open() Session {
	f.Helper()
	session, err := f.Open(f.Context())
	f.must(err)
	f.Cleanup(session.Close)
	return session
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) exec(statements ...string) {
	f.Helper()
	f.must(f.main.Exec(f.Context(), statements...))
}

// create makes a table that goes with the test, even one that failed in a transaction.
func (f *fixture) create(table, columns string) {
	f.Helper()
	f.exec(fmt.Sprintf("CREATE TABLE %s (%s)", table, columns))
	f.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := f.main.Exec(ctx, "ROLLBACK", "DROP TABLE "+table); err != nil {
			f.Error(err)
		}
	})
}

// prepare makes the source ready to stream the tables, whole, after the position.
func (f *fixture) prepare(tables ...string) {
	f.Helper()
	f.project(everyColumn, tables...)
	f.prepareProjected()
}

func (f *fixture) prepareProjected() {
	f.Helper()
	f.Cleanup(f.remove)
	f.first()
}

// first prepares the source for the first time.
func (f *fixture) first() {
	f.Helper()
	start, err := f.source.Prepare(f.Context(), f.tables, "")
	if errors.Is(err, sources.ErrSchemaChanged) { // by what it has altered itself
		_, err = f.source.Catalog(f.Context())
		f.must(err)
		start, err = f.source.Prepare(f.Context(), f.tables, "")
	}
	f.must(err)
	if !start.Fresh || start.Position.IsZero() {
		f.Errorf("the first start is fresh: %v, at %q", start.Fresh, start.Position)
	}
	f.start = sources.Checkpoint{Position: start.Position, Version: start.Clock.UnixMicro()}
}

// remove drops what Prepare made.
func (f *fixture) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := f.source.Remove(ctx, false); err != nil {
		f.Errorf("remove: %s", err)
	}
}

func everyColumn(*sources.Column) bool { return true }

// project reads the catalog and projects the tables to the wanted columns.
func (f *fixture) project(wanted func(*sources.Column) bool, names ...string) {
	f.Helper()
	catalog, err := f.source.Catalog(f.Context())
	f.must(err)
	f.tables = nil
	for _, name := range append(names, fenceTable) {
		i := slices.IndexFunc(catalog, func(t *sources.Table) bool { return t.Schema == f.Schema && t.Name == name })
		if i < 0 {
			f.Fatalf("the catalog has no table %s.%s", f.Schema, name)
		}
		table := catalog[i].Project(func(c int) bool { return wanted(&catalog[i].Columns[c]) })
		table.Ordinal = len(f.tables)
		f.tables = append(f.tables, table)
	}
}

func (f *fixture) table(name string) *sources.Table {
	f.Helper()
	for _, t := range f.tables {
		if t.Name == name {
			return t
		}
	}
	f.Fatalf("no table %s was prepared", name)
	return nil
}

// rows are a table's rows by a plain query, in the form of image.
func (f *fixture) rows(table string) []string {
	f.Helper()
	found, err := f.main.Query(f.Context(), "SELECT * FROM "+table)
	f.must(err)
	texts := make([]string, len(found))
	for i, row := range found {
		texts[i] = join(row)
	}
	slices.Sort(texts)
	return texts
}

func (f *fixture) equal(got, want []string) {
	f.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			f.Fatalf("%d: missing %s (got %d, want %d)", i, want[i], len(got), len(want))
		case i >= len(want):
			f.Fatalf("%d: too many: %s (got %d, want %d)", i, got[i], len(got), len(want))
		case got[i] != want[i]:
			f.Fatalf("%d: got %s, want %s", i, got[i], want[i])
		}
	}
}
