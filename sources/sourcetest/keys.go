package sourcetest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"haystream/internal/typecases"
	"haystream/sources"
)

// testKeyTypes makes a key of every type that may be one, of all its example
// values that the server takes for different ones. No two of them give the same
// canonical text, by chunks of one row or by the stream, which give the same.
func testKeyTypes(f *fixture) {
	statements, cases, err := typecases.Read(f.Types, f.Version)
	f.must(err)
	f.exec(statements...)
	var inserts, names []string
	for i, c := range cases {
		name := fmt.Sprintf("key%d", i)
		if rows := f.keyed(name, c); rows != nil {
			inserts, names = append(inserts, rows...), append(names, name)
		}
	}
	if len(names) < len(cases)/2 {
		f.Fatalf("only %d of %d types make a key", len(names), len(cases))
	}
	f.project(everyColumn, names...)
	known := map[string]bool{}
	for _, t := range f.tables[:len(names)] {
		known[t.Name] = len(t.Key) > 0
		t.Key = []int{0} // of a key of beginnings of texts, too
	}
	names = slices.DeleteFunc(names, func(name string) bool { return f.table(name).Columns[0].Type.Lossy })
	f.prepareProjected()
	t := f.stream(f.start)
	read := map[string][]string{}
	for _, name := range names {
		read[name] = f.keys(name)
		if known[name] {
			f.byKey(name)
		}
		f.exec("DELETE FROM " + name)
	}
	t.catchUp()
	t.changes = nil
	f.exec(inserts...)
	t.catchUp()
	streamed := map[string][]string{}
	for _, c := range t.changes {
		streamed[c.table] = append(streamed[c.table], c.after)
	}
	for _, name := range names {
		slices.Sort(streamed[name])
		f.equal(streamed[name], read[name])
	}
}

// keyed makes a table whose key is of that type, or of the beginning of its
// values, and fills it. It returns how, or nil where the server has no such key.
func (f *fixture) keyed(name string, c typecases.Case) (inserts []string) {
	for n, v := range c.Values {
		if v.SQL != "NULL" {
			inserts = append(inserts, f.Unless(name, fmt.Sprintf("%s, %d", v.SQL, n)))
		}
	}
	for _, key := range []string{"v", "v(30)"} {
		create := fmt.Sprintf("CREATE TABLE %s (v %s NOT NULL, n INTEGER, PRIMARY KEY (%s))", name, strings.TrimSuffix(c.Type, " NULL"), key)
		if f.main.Exec(f.Context(), create) != nil {
			continue
		}
		f.Cleanup(func() { f.must(f.main.Exec(context.Background(), "DROP TABLE "+name)) })
		if f.main.Exec(f.Context(), append(inserts, "SELECT v FROM "+name+" ORDER BY v")...) == nil {
			return inserts
		}
		return nil // elements of an array cannot be compared
	}
	return nil
}

// keys reads a table in chunks of one row and returns its rows. Each row has a
// key of its own.
func (f *fixture) keys(name string) []string {
	f.Helper()
	var rows, keys []string
	req := sources.ChunkRequest{Table: f.table(name), MaxRows: 1, MaxBytes: 1 << 20}
	for done := false; !done; {
		chunk, err := f.source.Chunk(f.Context(), req)
		if err != nil {
			f.Fatalf("%s %s after %q: %v", name, req.Table.Columns[0].Type.SQL, req.After, err)
		}
		for _, row := range chunk.Rows {
			rows, keys = append(rows, image(row)), append(keys, join(row.Key(req.Table.Key)))
		}
		req.After, done = chunk.Last, chunk.Done
	}
	slices.Sort(keys)
	slices.Sort(rows)
	if distinct := slices.Compact(slices.Clone(keys)); len(distinct) < len(keys) {
		f.Errorf("%s: of the %d keys only %d differ: %.300q", req.Table.Columns[0].Type.SQL, len(keys), len(distinct), keys)
	}
	count, err := f.main.Query(f.Context(), "SELECT count(*) FROM "+name)
	f.must(err)
	if count[0][0] != fmt.Sprint(len(rows)) {
		f.Errorf("%s: %d rows read of %s", req.Table.Columns[0].Type.SQL, len(rows), count[0][0])
	}
	return rows
}

// byKey reads every other row of a table by its key, then the others, and finds
// nothing for what is no key of its.
func (f *fixture) byKey(name string) {
	f.Helper()
	t := f.table(name)
	whole, err := f.source.Chunk(f.Context(), sources.ChunkRequest{Table: t, MaxRows: 1000, MaxBytes: 1 << 20})
	f.must(err)
	for half := range 2 {
		values := sources.Values{Columns: t.Key, Of: []sources.Key{{"~"}, {"1234567890123456789012345678901.5"}, {"2021-13-40"}}}
		var want []string
		for i := half; i < len(whole.Rows); i += 2 {
			values.Of = append(values.Of, whole.Rows[i].Key(t.Key))
			want = append(want, image(whole.Rows[i]))
		}
		chunk, err := f.source.Chunk(f.Context(), sources.ChunkRequest{Table: t, Having: &values, MaxRows: 1000, MaxBytes: 1 << 20})
		if err != nil {
			f.Errorf("%s by %q: %v", t.Columns[0].Type.SQL, values.Of, err)
			return
		}
		var got []string
		for _, row := range chunk.Rows {
			got = append(got, image(row))
		}
		if !slices.Equal(got, want) {
			f.Errorf("%s by %q: read are %.300q, want %.300q", t.Columns[0].Type.SQL, values.Of, got, want)
		}
	}
}
