package mysql

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"haystream/internal/typecases"
	"haystream/sources"
)

var update = flag.Bool("update", false, "rewrite the expected values in testdata")

// TestTypes puts every value of the flavor's file into a real table and reads
// it as a snapshot does and as the stream does. Both must give the same
// canonical text, and it must render as the JSON that the file expects.
// It does not matter what the writer's session and the server are set to.
func TestTypes(t *testing.T) {
	sessions := map[string]string{
		"plain":  "SET time_zone = '+00:00', sql_mode = ''",
		"varied": "SET time_zone = '-07:30', sql_mode = 'ALLOW_INVALID_DATES,PAD_CHAR_TO_FULL_LENGTH,ANSI_QUOTES,REAL_AS_FLOAT'",
	}
	eachServer(t, func(b *box) {
		b.set("sql_mode", "'PAD_CHAR_TO_FULL_LENGTH,NO_BACKSLASH_ESCAPES'")
		b.set("time_zone", "'+05:45'")
		for name, session := range sessions {
			b.Run(name, func(t *testing.T) { newTypesRig(b, "types_"+name, session).test(t) })
		}
	})
}

// TestOldTemporalFormat reads what MariaDB has kept since before its version 10.0.
func TestOldTemporalFormat(t *testing.T) {
	eachServer(t, func(b *box) {
		if !b.isMaria() {
			return
		}
		b.set("mysql56_temporal_format", "0")
		r := newTypesRig(b, "types_old", "SET time_zone = '+01:00', sql_mode = ''")
		value := func(sql, want string) typecases.Value { return typecases.Value{SQL: sql, Want: want} }
		r.cases = []typecases.Case{
			{Type: "datetime", Values: []typecases.Value{value("'2024-02-29 23:59:59'", `"2024-02-29T23:59:59"`), value("'0000-00-00'", "null")}},
			{Type: "timestamp NULL", Values: []typecases.Value{value("FROM_UNIXTIME(1711846800)", `"2024-03-31T01:00:00Z"`), value("'0000-00-00'", "null")}},
			{Type: "time", Values: []typecases.Value{value("'-838:59:59'", `"-838:59:59"`), value("'00:00:01'", `"00:00:01"`)}},
		}
		r.run(b.T, map[typecases.Value]string{})
	})
}

// typesRig is a database with a table for each type.
type typesRig struct {
	*box
	database string
	writer   *conn
	reader   *conn // as a Source has it
	cases    []typecases.Case
}

func newTypesRig(b *box, database, session string) *typesRig {
	b.schema(database)
	r := &typesRig{box: b, database: database, reader: b.connect(b.with("", "", "")), writer: b.connect(b.with("", database, ""))}
	r.write(b.T, "SET SESSION TRANSACTION READ WRITE", session, "ALTER DATABASE "+database+" CHARACTER SET utf8mb4")
	return r
}

func (r *typesRig) write(t *testing.T, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if err := r.writer.exec(r.Context(), statement); err != nil {
			t.Errorf("%.200s: %s", statement, err)
		}
	}
}

// version is 100 times the server's major and its minor version.
func (r *typesRig) version(t *testing.T) int {
	t.Helper()
	var major, minor int
	if _, err := fmt.Sscanf(r.reader.version, "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return 100*major + minor
}

func (r *typesRig) test(t *testing.T) {
	file := "../../testdata/" + r.reader.flavor.String() + "/types.txt"
	var err error
	if _, r.cases, err = typecases.Read(file, r.version(t)); err != nil {
		t.Fatal(err)
	}
	got := map[typecases.Value]string{}
	r.run(t, got)
	if *update {
		if err := typecases.Update(file, got); err != nil {
			t.Fatal(err)
		}
	}
}

// run writes and reads all cases, and says what the values have become.
func (r *typesRig) run(t *testing.T, got map[typecases.Value]string) {
	log := r.openLog(t)
	for i, c := range r.cases {
		r.write(t, fmt.Sprintf("CREATE TABLE c%d (id INT PRIMARY KEY, v %s)", i, c.Type), "BEGIN")
		for n, v := range c.Values {
			r.write(t, fmt.Sprintf("INSERT IGNORE INTO c%d VALUES (%d, %s)", i, n, v.SQL))
		}
		r.write(t, "COMMIT")
	}
	catalog, _, err := readCatalog(t.Context(), r.reader)
	if err != nil {
		t.Fatal(err)
	}
	streamed := log.rows(t, r)
	for i, c := range r.cases {
		t.Run(c.Type, func(t *testing.T) { r.compare(t, catalog, i, streamed, got) })
	}
}

// compare compares the values of one type.
func (r *typesRig) compare(t *testing.T, catalog *catalog, i int, log map[string][]streamedValue, got map[typecases.Value]string) {
	name := "c" + strconv.Itoa(i)
	found := catalog.table(r.database, name)
	if found == nil {
		t.Fatal("the table is not there")
	}
	column := &found.columns[1]
	if column.refused != nil {
		t.Fatal(column.refused)
	}
	read := r.selectValues(t, name, column)
	streamed := log[r.database+"."+name]
	if len(read) != len(r.cases[i].Values) || len(streamed) != len(read) {
		t.Fatalf("%d values, %d read, %d streamed", len(r.cases[i].Values), len(read), len(streamed))
	}
	for n, v := range r.cases[i].Values {
		one, two := read[n], streamed[n].canonical(t, column)
		if !bytes.Equal(one, two) || (one == nil) != (two == nil) {
			t.Errorf("%s: read as %.300q, streamed as %.300q", v.SQL, one, two)
		}
		rendered := []byte("null")
		if one != nil {
			rendered, _ = sources.AppendJSON(nil, &column.Type, one)
		}
		if !json.Valid(rendered) || bytes.ContainsAny(rendered, "\n\r") {
			t.Errorf("%s: not a line of JSON: %.300s", v.SQL, rendered)
		}
		if v.Want != "" && string(rendered) != v.Want && !*update {
			t.Errorf("%s: got %.300s, want %.300s", v.SQL, rendered, v.Want)
		}
		got[v] = string(rendered)
	}
}

// selectValues reads a table as a snapshot chunk does; nil is NULL.
func (r *typesRig) selectValues(t *testing.T, table string, column *column) (values [][]byte) {
	t.Helper()
	query := fmt.Sprintf("SELECT %s FROM %s.%s ORDER BY id", column.expression("`v`"), r.database, table)
	err := r.reader.query(t.Context(), query, func(row [][]byte) error {
		if row[0] == nil {
			values = append(values, nil)
			return nil
		}
		text, err := column.convert([]byte{}, row[0])
		values = append(values, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// A logReader reads the log from where it ended when it was opened.
type logReader struct {
	syncer   *replication.BinlogSyncer
	streamer *replication.BinlogStreamer
}

func (r *typesRig) openLog(t *testing.T) *logReader {
	t.Helper()
	status, err := r.reader.one(r.Context(), r.reader.flavor.logStatus(r.reader.version))
	if err != nil {
		t.Fatal(err)
	}
	offset, err := strconv.ParseUint(status[1], 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(r.Port(), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	l := &logReader{}
	l.syncer = replication.NewBinlogSyncer(replication.BinlogSyncerConfig{
		ServerID: 4000, Flavor: r.reader.flavor.String(), Host: r.Hostname(), Port: uint16(port), User: r.User.Username(),
		Logger: slog.New(slog.DiscardHandler),
		RowsEventDecodeFunc: func(e *replication.RowsEvent, data []byte) error {
			at, err := e.DecodeHeader(data)
			e.Rows = [][]any{{bytes.Clone(data[at:])}} // the row images as they are
			return err
		},
	})
	t.Cleanup(l.syncer.Close)
	if l.streamer, err = l.syncer.StartSync(mysql.Position{Name: status[0], Pos: uint32(offset)}); err != nil {
		t.Fatal(err)
	}
	return l
}

// A streamedValue is the second column of a row image, with what its table map says.
type streamedValue struct {
	wire  byte
	meta  uint16
	null  bool
	image []byte // from the value on
}

// canonical returns its canonical text; nil is NULL.
func (v streamedValue) canonical(t *testing.T, column *column) []byte {
	t.Helper()
	if v.null {
		return nil
	}
	decode, err := column.decoder(v.wire, v.meta)
	if err != nil {
		t.Fatal(err)
	}
	text, size, err := decode([]byte{}, v.image)
	if err != nil {
		t.Fatal(err)
	}
	if size != len(v.image) {
		t.Fatalf("the value takes %d of %d bytes", size, len(v.image))
	}
	skip, err := skipper(v.wire, v.meta)
	if err != nil {
		t.Fatal(err)
	}
	if skipped, err := skip(v.image); skipped != size || err != nil {
		t.Fatalf("skips %d of %d bytes: %v", skipped, size, err)
	}
	return text
}

// rows reads the inserts into the rig's tables, up to a mark that it writes.
func (l *logReader) rows(t *testing.T, r *typesRig) map[string][]streamedValue {
	t.Helper()
	r.write(t, "CREATE TABLE mark (id INT)", "INSERT INTO mark VALUES (1)")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	found := map[string][]streamedValue{}
	for {
		event, err := l.streamer.GetEvent(ctx)
		if err != nil {
			t.Fatal(err)
		}
		rows, ok := event.Event.(*replication.RowsEvent)
		if !ok {
			continue
		}
		if string(rows.Table.Schema) != r.database {
			continue
		}
		name := string(rows.Table.Schema) + "." + string(rows.Table.Table)
		if strings.HasSuffix(name, ".mark") {
			return found
		}
		data, ok := rows.Rows[0][0].([]byte)
		if !ok {
			t.Fatal("the row image is not as it was")
		}
		const head = 1 + 4 // bits of NULL values, and the id
		found[name] = append(found[name], streamedValue{
			wire: rows.Table.ColumnType[1], meta: rows.Table.ColumnMeta[1],
			null: data[0]&2 != 0, image: data[head:],
		})
	}
}
