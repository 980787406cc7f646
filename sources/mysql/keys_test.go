package mysql

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"haystream/sources"
)

// Each kind of key pages through every row once, in the server's order, and the
// server finds the next chunk by the key.
func TestChunkKeys(t *testing.T) {
	letters := []string{"''", "'a'", "'A '", "'á'", "'b'", "'B b'", "'ß'", "'ss '", "'z'", "'É'", "'_'", "'%'", "'\\\\'", "'€'", "'it''s'"}
	cases := []struct {
		name, columns, key string
		rows               []string
	}{
		{"unsigned", "k BIGINT UNSIGNED", "k", []string{"0", "1", "9223372036854775807", "9223372036854775808", "18446744073709551614", "18446744073709551615"}},
		{"signed", "k BIGINT", "k", []string{"-9223372036854775808", "-2", "-1", "0", "1", "9223372036854775807"}},
		{"decimal", "k DECIMAL(30,10)", "k", []string{"-99999999999999999999.9999999999", "-0.1", "0", "0.0000000001", "99999999999999999999.9999999998", "99999999999999999999.9999999999"}},
		{"double", "k DOUBLE", "k", []string{"-1e300", "-0.1", "0.1", "0.30000000000000004", "0.3", "1e-300", "123456789.123456789"}},
		{"datetime", "k DATETIME(6)", "k", []string{"'1000-01-01'", "'2024-02-29 01:02:03.000001'", "'2024-02-29 01:02:03.000002'", "'2024-02-29 01:02:03'", "'9999-12-31 23:59:59.999999'"}},
		{"timestamp", "k TIMESTAMP(6) NOT NULL", "k", []string{"'1970-01-02'", "'2024-03-31 02:30:00'", "'2024-03-31 02:30:00.5'", "'2037-12-31 23:59:59.999999'"}},
		{"date", "k DATE", "k", []string{"'1000-01-01'", "'2024-02-29'", "'9999-12-31'"}},
		{"time", "k TIME(3)", "k", []string{"'-838:59:59'", "'-00:00:00.001'", "'00:00:00'", "'838:59:58.999'"}},
		{"year", "k YEAR", "k", []string{"0", "1901", "2155"}},
		{"general", "k VARCHAR(20) COLLATE utf8mb4_general_ci", "k", []string{"''", "'a'", "'b'", "'漢'", "'ß'", "'z z'"}},
		{"bin", "k VARCHAR(20) COLLATE utf8mb4_bin", "k", letters},
		{"unicode", "k VARCHAR(20) COLLATE utf8mb4_unicode_520_ci", "k", []string{"'a'", "'b'", "'é'", "'f'", "'🐘'", "'漢'"}},
		{"latin1", "k VARCHAR(20) COLLATE latin1_swedish_ci", "k", []string{"'a'", "'b'", "'Å'", "'Ä'", "'Ö'", "'z'", "'€'", "'™'"}},
		{"latin1 bin", "k CHAR(20) COLLATE latin1_bin", "k", letters[1:]},
		{"cp932", "k VARCHAR(20) CHARACTER SET cp932", "k", []string{"'a'", "'ア'", "'漢'", "'字'", "'～'"}},
		{"utf16", "k VARCHAR(20) CHARACTER SET utf16", "k", []string{"'a'", "'é'", "'漢'", "'🐘'"}},
		{"binary", "k BINARY(16)", "k", []string{"x'00'", "x'0000000000000000000000000000000a'", "x'ff00ff'", "x'ff'", "x'27'", "x'5c'"}},
		{"varbinary", "k VARBINARY(16)", "k", []string{"x''", "x'00'", "x'0000'", "x'00ff'", "x'ff00'", "x'ff'"}},
		{"bits", "k BIT(64)", "k", []string{"0", "1", "x'7fffffffffffffff'", "x'8000000000000000'", "x'ffffffffffffffff'"}},
		{"enum", "k ENUM('z','b','a,''','c')", "k", []string{"'z'", "'b'", "'a,'''", "'c'"}},
		{"set", "k SET('z','b','a')", "k", []string{"''", "'z'", "'b'", "'z,b'", "'a'", "'z,b,a'"}},
		{"three", "a INT, b VARCHAR(10), c DATETIME(3)", "b, c, a", []string{
			"1, 'x', '2024-01-01'", "2, 'x', '2024-01-01'", "-1, 'x', '2024-01-01'", "1, 'x', '2024-01-01 00:00:00.001'", "1, 'y', '2024-01-01'", "1, 'Y ', '2023-01-01'", "5, '', '2023-01-01'",
		}},
		{"enum within", "a ENUM('q','p'), b SMALLINT UNSIGNED", "a, b", []string{"'q', 1", "'q', 2", "'p', 1", "'p', 65535", "'q', 65535"}},
	}
	eachRig(t, func(r *rig) {
		r.exec("SET NAMES utf8mb4")
		all := cases
		if !r.isMaria() {
			all = append(slices.Clip(all), struct {
				name, columns, key string
				rows               []string
			}{"0900", "k VARCHAR(20) COLLATE utf8mb4_0900_ai_ci", "k", []string{"''", "'a'", "'a '", "'b'", "'é'", "'ff'", "'🐘'"}})
		} else {
			all = append(slices.Clip(all), struct {
				name, columns, key string
				rows               []string
			}{"inet6", "k INET6", "k", []string{"'::'", "'::1'", "'::ffff:10.0.0.1'", "'ff::ff'"}}, struct {
				name, columns, key string
				rows               []string
			}{"uuid", "k UUID", "k", []string{"'00000000-0000-0000-0000-000000000001'", "'123e4567-e89b-12d3-a456-426655440000'", "'ffffffff-ffff-4fff-8fff-ffffffffffff'"}})
		}
		for _, c := range all {
			r.exec("DROP TABLE IF EXISTS t", "CREATE TABLE t ("+c.columns+", n INT, PRIMARY KEY ("+c.key+")) CHARACTER SET utf8mb4")
			for i, row := range c.rows {
				r.exec(fmt.Sprintf("INSERT INTO t VALUES (%s, %d)", row, i))
			}
			r.prepare("t")
			var want []string
			r.must(r.admin.query(r.Context(), "SELECT n FROM t ORDER BY "+c.key, func(row [][]byte) error { want = append(want, string(row[0])); return nil }))
			for _, size := range []int{1, 2, 7} {
				if got := r.page(size); strings.Join(got, " ") != strings.Join(want, " ") {
					t.Errorf("%s in chunks of %d: %s, want %s", c.name, size, got, want)
				}
			}
			// Labels are compared by their numbers, which no server looks up in an index.
			if plan := r.plan(false); plan != "range" && !strings.Contains(c.columns, "ENUM(") && !strings.Contains(c.columns, "SET(") {
				t.Errorf("%s: the next chunk is found by %s", c.name, plan)
			}
			if plan := r.plan(true); plan != "range" && plan != "const" {
				t.Errorf("%s: a row is found by its key by %s", c.name, plan)
			}
		}
	})
}

// page reads the table in chunks and returns the last column.
func (r *rig) page(size int) (found []string) {
	r.Helper()
	req := sources.ChunkRequest{Table: r.tables[0], MaxRows: size, MaxBytes: 1 << 20}
	for len(found) < 100 {
		chunk, err := r.source.Chunk(r.Context(), req)
		r.must(err)
		for _, row := range chunk.Rows {
			found = append(found, string(row.Text(row.Len()-1)))
		}
		if chunk.Done {
			return found
		}
		req.After = chunk.Last
	}
	return found
}

// plan is how the server looks for the chunk after the first row, or for that
// row and another one by their keys.
func (r *rig) plan(byKey bool) string {
	r.Helper()
	req := sources.ChunkRequest{Table: r.tables[0], MaxRows: 1, MaxBytes: 1 << 20}
	chunk, err := r.source.Chunk(r.Context(), req)
	r.must(err)
	req.After = chunk.Last
	if byKey {
		of := []sources.Key{chunk.Rows[0].Key(req.Table.Key)}
		chunk, err = r.source.Chunk(r.Context(), req)
		r.must(err)
		req.After, req.Having = nil, &sources.Values{Columns: req.Table.Key, Of: append(of, chunk.Rows[0].Key(req.Table.Key))}
	}
	q, err := newChunkQuery(req, r.source.prepared.table(r.name, "t"), 0)
	r.must(err)
	row, err := r.admin.one(r.Context(), "EXPLAIN FORMAT=TRADITIONAL "+q.sql())
	r.must(err)
	if r.isMaria() {
		return row[3]
	}
	return row[4]
}
