package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strconv"
	"testing"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"haystream/internal/servers"
	"haystream/internal/typecases"
	"haystream/sources"
)

var update = flag.Bool("update", false, "rewrite the expected values in testdata")

const typesFile = "../../testdata/postgres/types.txt"

// TestTypes puts every value of typesFile into a real table and reads it as a
// snapshot does and as the stream does. Both must give the same canonical text,
// and it must render as the JSON that the file expects.
func TestTypes(t *testing.T) {
	for _, version := range servers.PostgresVersions() {
		t.Run(version, func(t *testing.T) {
			server := servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: version})
			major, err := strconv.Atoi(version)
			if err != nil {
				t.Fatal(err)
			}
			testTypes(t, connect(t, server.URL), major)
		})
	}
}

// connect opens a connection with the settings that a Source pins.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams = sessionSettings()
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execute(t testing.TB, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%.200s: %s", statement, err)
		}
	}
}

func testTypes(t *testing.T, conn *pgx.Conn, major int) {
	statements, cases, err := typecases.Read(typesFile, major)
	if err != nil {
		t.Fatal(err)
	}
	fillTypes(t, conn, statements, cases)
	tables, registry, err := readCatalog(t.Context(), conn, catalogScope{})
	if err != nil {
		t.Fatal(err)
	}
	var table *sources.Table
	for _, candidate := range tables {
		if candidate.String() == "public.types" {
			table = candidate
		}
	}
	relation, streamed := streamTypes(t, conn)
	if got := registry.table(relation.RelationID); got != table {
		t.Errorf("relation %d is of table %v, want %v", relation.RelationID, got, table)
	}
	read := selectTypes(t, conn)
	if len(read) != len(streamed) {
		t.Fatalf("%d rows read, %d streamed", len(read), len(streamed))
	}
	got := map[typecases.Value]string{}
	for i, c := range cases {
		column := relation.Columns[i+1]
		typ, convert, err := registry.lookup(column.DataType, column.TypeModifier)
		if err != nil {
			t.Fatal(err)
		}
		if want := table.Columns[i+1].Type; typ.Kind != want.Kind || typ.Size != want.Size || typ.Scale != want.Scale {
			t.Errorf("%s: streamed as %+v, in the catalog %+v", c.Type, typ, want)
		}
		for n, v := range c.Values {
			t.Run(c.Type, func(t *testing.T) {
				one, two := canonical(t, convert, read[n][i+1]), canonical(t, convert, streamed[n][i+1])
				if !bytes.Equal(one, two) || (one == nil) != (two == nil) {
					t.Errorf("%s: read as %q, streamed as %q", v.SQL, one, two)
				}
				rendered := []byte("null")
				if one != nil {
					rendered, _ = sources.AppendJSON(nil, &typ, one)
				}
				if !json.Valid(rendered) || bytes.ContainsAny(rendered, "\n\r") {
					t.Errorf("%s: not a line of JSON: %s", v.SQL, rendered)
				}
				if string(rendered) != v.Want && !*update {
					t.Errorf("%s: got %s, want %s", v.SQL, rendered, v.Want)
				}
				got[v] = string(rendered)
			})
		}
	}
	if *update {
		if err := typecases.Update(typesFile, got); err != nil {
			t.Fatal(err)
		}
	}
}

// fillTypes makes a table with a column for each case and a row for each value.
// A case with fewer values than others has its last one repeated.
func fillTypes(t *testing.T, conn *pgx.Conn, statements []string, cases []typecases.Case) {
	t.Helper()
	execute(t, conn, "SET search_path = public")
	execute(t, conn, statements...)
	rows := 0
	create := "CREATE TABLE types (id integer PRIMARY KEY"
	for i, c := range cases {
		create += fmt.Sprintf(", c%d %s", i, c.Type)
		rows = max(rows, len(c.Values))
	}
	execute(t, conn, create+")", "CREATE PUBLICATION p FOR TABLE types",
		"SELECT pg_catalog.pg_create_logical_replication_slot('s', 'pgoutput')")
	for n := range rows {
		insert := fmt.Sprintf("INSERT INTO types VALUES (%d", n)
		for _, c := range cases {
			insert += ", " + c.Values[min(n, len(c.Values)-1)].SQL
		}
		execute(t, conn, insert+")")
	}
	execute(t, conn, "SET search_path = ''")
}

// selectTypes reads the table as a snapshot chunk does; nil is NULL.
func selectTypes(t *testing.T, conn *pgx.Conn) (rows [][][]byte) {
	t.Helper()
	result := conn.PgConn().ExecParams(t.Context(), "SELECT * FROM public.types ORDER BY id", nil, nil, nil, nil)
	for result.NextRow() {
		var row [][]byte
		for _, value := range result.Values() {
			row = append(row, bytes.Clone(value))
		}
		rows = append(rows, row)
	}
	if _, err := result.Close(); err != nil {
		t.Fatal(err)
	}
	return rows
}

// streamTypes reads the table's inserts from the slot; nil is NULL.
func streamTypes(t *testing.T, conn *pgx.Conn) (relation *pglogrepl.RelationMessage, rows [][][]byte) {
	t.Helper()
	messages, err := conn.Query(t.Context(), "SELECT data FROM pg_catalog.pg_logical_slot_peek_binary_changes('s', NULL, NULL, 'proto_version', '1', 'publication_names', 'p')")
	if err != nil {
		t.Fatal(err)
	}
	var data []byte
	_, err = pgx.ForEachRow(messages, []any{&data}, func() error {
		message, err := pglogrepl.Parse(data)
		switch m := message.(type) {
		case *pglogrepl.RelationMessage:
			relation = m
		case *pglogrepl.InsertMessage:
			var row [][]byte
			for _, column := range m.Tuple.Columns {
				row = append(row, column.Data)
			}
			rows = append(rows, row)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return relation, rows
}

// canonical converts a value that is not NULL.
func canonical(t *testing.T, convert converter, text []byte) []byte {
	t.Helper()
	if convert == nil || text == nil {
		return text
	}
	out, err := convert([]byte{}, text)
	if err != nil {
		t.Fatalf("convert %q: %s", text, err)
	}
	return out
}
