package mysql

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"haystream/sources"
)

const recordedRows = 100

// recordedColumns are those of the table in the recorded logs.
func recordedColumns() []catalogColumn {
	return []catalogColumn{
		{name: "id", dataType: "bigint", fullType: "bigint"},
		{name: "name", dataType: "varchar", fullType: "varchar(100)", charset: "utf8mb4", length: 100},
		{name: "age", dataType: "int", fullType: "int"},
		{name: "made", dataType: "datetime", fullType: "datetime(6)", fraction: 6},
		{name: "price", dataType: "decimal", fullType: "decimal(10,2)", precision: 10, scale: 2},
		{name: "body", dataType: "text", fullType: "text", charset: "utf8mb4", length: 65535},
	}
}

// recordedStream is a stream that is given its packets by hand.
func recordedStream(tb testing.TB, f flavor, out chan<- *sources.Batch) *stream {
	tb.Helper()
	t := &sources.Table{Schema: "recorded", Name: "t", Key: []int{0}}
	whole := &table{sources: t, end: -1}
	for _, c := range recordedColumns() {
		resolved, err := resolveType(f, c)
		if err != nil {
			tb.Fatal(err)
		}
		whole.columns = append(whole.columns, column{catalogColumn: c, columnType: resolved})
		t.Columns = append(t.Columns, sources.Column{Name: c.name, Type: resolved.Type})
	}
	gtids, err := f.parseGTIDs("")
	if err != nil {
		tb.Fatal(err)
	}
	st := &stream{
		source: &Source{}, ctx: tb.Context(), conn: &conn{flavor: f}, out: out,
		catalog: &catalog{flavor: f, tables: map[string]*table{"recorded.t": whole}},
		tables:  map[string]*sources.Table{"recorded.t": t}, unnamed: map[*sources.Table]bool{}, defaulted: map[*sources.Table]bool{},
		gtids: gtids, batch: sources.NewBatcher(),
	}
	st.newFile()
	return st
}

// readRecorded reads packets, each behind its length.
func readRecorded(tb testing.TB, name string) (packets [][]byte) {
	tb.Helper()
	data, err := os.ReadFile("testdata/log/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	for len(data) > 0 {
		size := 4 + int(binary.LittleEndian.Uint32(data))
		packets, data = append(packets, data[4:size]), data[size:]
	}
	return packets
}

// A packet is gone when the next one has come: nothing goes on looking at it.
func TestPacketsAreNotKept(t *testing.T) {
	for name, f := range map[string]flavor{"mysql-single": mysqlServer, "mariadb-single": mariadbServer} {
		out := make(chan *sources.Batch, 2*recordedRows)
		st := recordedStream(t, f, out)
		for _, p := range readRecorded(t, name) {
			if err := st.event(p); err != nil {
				t.Fatal(err)
			}
			for i := range p {
				p[i] = 6
			}
		}
		if err := st.send(); err != nil {
			t.Fatal(err)
		}
		close(out)
		rows := 0
		for batch := range out {
			for _, c := range batch.Changes {
				if got, want := string(c.After.Text(1)), fmt.Sprintf("Name %d", rows); got != want {
					t.Fatalf("%s: row %d has the name %q", name, rows, got)
				}
				rows++
			}
		}
		if rows != recordedRows {
			t.Errorf("%s: %d rows, want %d", name, rows, recordedRows)
		}
	}
}

// A value that cannot be decoded makes its table stale. The change keeps its Version and what
// can be decoded, and those behind it come.
func TestValueThatCannotBeDecoded(t *testing.T) {
	for name, f := range map[string]flavor{"mysql-single": mysqlServer, "mariadb-single": mariadbServer} {
		out := make(chan *sources.Batch, 2*recordedRows)
		st := recordedStream(t, f, out)
		columns, n := st.catalog.tables["recorded.t"].columns, 0
		for i, form := range columns[1].forms {
			columns[1].forms[i].convert = func(dst, data []byte) ([]byte, error) {
				if n++; n == 3 {
					return dst, errJSON
				}
				if form.convert == nil {
					return append(dst, data...), nil
				}
				return form.convert(dst, data)
			}
		}
		for _, p := range readRecorded(t, name) {
			if err := st.event(p); err != nil {
				t.Fatal(err)
			}
		}
		if err := st.send(); err != nil {
			t.Fatal(err)
		}
		close(out)
		rows, version := 0, int64(0)
		for batch := range out {
			for _, c := range batch.Changes {
				rows++
				stale := c.Kind == sources.Stale && len(c.Stale.Columns) == 0 && strings.Contains(c.Stale.Reason, "column name: "+errJSON.Error())
				if stale != (rows == 3) || c.Version <= version || c.After.Missing(0) || c.After.Missing(1) != stale {
					t.Errorf("%s: change %d is %+v", name, rows, c)
				}
				version = c.Version
			}
		}
		if rows != recordedRows {
			t.Errorf("%s: %d changes, want %d", name, rows, recordedRows)
		}
	}
}

// BenchmarkStream decodes recorded logs: each a transaction of its
// own, and all in one. Allocations are those of the stream's own work.
func BenchmarkStream(b *testing.B) {
	for _, name := range []string{"mysql-single", "mysql-many", "mariadb-single", "mariadb-many"} {
		b.Run(name, func(b *testing.B) {
			f := mysqlServer
			if strings.HasPrefix(name, "mariadb") {
				f = mariadbServer
			}
			packets := readRecorded(b, name)
			out := make(chan *sources.Batch)
			ctx, cancel := context.WithCancel(b.Context())
			drained := make(chan int)
			go func() {
				rows := 0
				for {
					select {
					case batch := <-out:
						rows += len(batch.Changes)
						batch.Release()
					case <-ctx.Done():
						drained <- rows
						return
					}
				}
			}()
			st := recordedStream(b, f, out)
			var packet []byte
			b.ReportAllocs()
			for b.Loop() {
				for _, p := range packets {
					packet = append(packet[:0], p...)
					if err := st.event(packet); err != nil {
						b.Fatal(err)
					}
				}
			}
			if err := st.send(); err != nil {
				b.Fatal(err)
			}
			cancel()
			if rows := <-drained; rows != recordedRows*b.N {
				b.Errorf("%d rows, want %d", rows, recordedRows*b.N)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*recordedRows), "ns/row")
		})
	}
}
