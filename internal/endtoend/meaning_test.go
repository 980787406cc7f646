package endtoend

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"haystream/internal/servers"
)

// What rows mean changes without a row in the log. Each case is such a change of
// book, whose documents are flat and joined, or of tag, which is joined and flat:
// the documents follow it, and the next write; and only the indexes that use what
// has changed are built anew.
type meaning struct {
	name    string
	on      string // the kinds of database; empty: all
	exec    []string
	rebuilt string // flat, joined, tags: the indexes that are built anew
	down    bool   // the daemon is down meanwhile
}

var meaningTables = []string{
	"CREATE TABLE book (id int PRIMARY KEY, title varchar(50), other varchar(50), pages int, spare varchar(50))",
	"CREATE TABLE tag (id int PRIMARY KEY, book_id int, name varchar(50), other varchar(50), weight int)",
	"INSERT INTO book VALUES (1, 'one', 'uno', 10, ''), (2, 'two', 'due', 20, ''), (3, 'three', 'tre', 30, '')",
	"INSERT INTO tag VALUES (1, 1, 'red', 'rot', 1), (2, 1, 'green', 'gruen', 2), (3, 2, 'blue', 'blau', 3)",
}

const meaningConfig = `
  flat:
    index: NAME-flat
    table: book
    fields: {title: {}, pages: {}}
  joined:
    index: NAME-joined
    table: book
    fields: {title: {}, tags: tags.name}
  tags:
    index: NAME-tags
    table: tag
    fields: {name: {}, weight: {}}
tables:
  book: {relations: {tags: {table: tag, column: book_id, many: true, order_by: [id]}}}
`

const (
	onPostgres = servers.Postgres
	onMySQL    = servers.MySQL + " " + servers.MariaDB
)

// again makes a table of another's columns with other rows.
func again(table, as, rows string) []string {
	columns := "id int PRIMARY KEY, title varchar(50), other varchar(50), pages int, spare varchar(50)"
	if table == "tag" {
		columns = "id int PRIMARY KEY, book_id int, name varchar(50), other varchar(50), weight int"
	}
	return []string{"CREATE TABLE " + as + " (" + columns + ")", "INSERT INTO " + as + " VALUES " + rows}
}

var meanings = []meaning{
	{name: "truncate", exec: []string{"TRUNCATE TABLE tag"}, rebuilt: "joined tags"},
	{name: "names of two columns swapped", exec: []string{
		"ALTER TABLE tag RENAME COLUMN name TO third", "ALTER TABLE tag RENAME COLUMN other TO name", "ALTER TABLE tag RENAME COLUMN third TO other",
	}, rebuilt: "joined tags"},
	{name: "names of two columns swapped while down", down: true, exec: []string{
		"ALTER TABLE book RENAME COLUMN title TO third", "ALTER TABLE book RENAME COLUMN other TO title", "ALTER TABLE book RENAME COLUMN third TO other",
	}, rebuilt: "flat joined"},
	{name: "a column dropped, and one of its name added", exec: []string{
		"ALTER TABLE book DROP COLUMN pages", "ALTER TABLE book ADD COLUMN pages int DEFAULT 7",
	}, rebuilt: "flat"},
	{name: "a column dropped and added while down", down: true, exec: []string{
		"ALTER TABLE tag DROP COLUMN name", "ALTER TABLE tag ADD COLUMN name varchar(50) DEFAULT 'new'",
	}, rebuilt: "joined tags"},
	{name: "values computed anew", on: onPostgres, exec: []string{"ALTER TABLE book ALTER pages TYPE int USING pages * 100"}, rebuilt: "flat"},
	{name: "values computed anew, of one index", on: onPostgres, exec: []string{"ALTER TABLE tag ALTER weight TYPE int USING weight + 1"}, rebuilt: "tags"},
	{name: "values computed anew while down", on: onPostgres, down: true, exec: []string{"ALTER TABLE tag ALTER name TYPE varchar(50) USING upper(name)"}, rebuilt: "joined tags"},
	{name: "there and back", on: onMySQL, exec: []string{
		"ALTER TABLE tag MODIFY name varbinary(2)", "ALTER TABLE tag MODIFY name varchar(50)",
	}, rebuilt: "joined tags"},
	{name: "there and back while down", on: onMySQL, down: true, exec: []string{
		"ALTER TABLE book MODIFY title varchar(2)", "ALTER TABLE book MODIFY title varchar(50)",
	}, rebuilt: "flat joined"},
	{name: "no more NULL", on: onMySQL, down: true, exec: []string{
		"INSERT INTO tag (id) VALUES (50)", "ALTER TABLE tag DROP PRIMARY KEY, ADD PRIMARY KEY (id, name)", "ALTER TABLE tag DROP PRIMARY KEY, ADD PRIMARY KEY (id)",
	}, rebuilt: "joined tags"},
	{name: "of another type while down", on: onMySQL, down: true, exec: []string{"ALTER TABLE tag MODIFY name text", "ALTER TABLE tag MODIFY weight bigint"}, rebuilt: "joined tags"},
	{name: "replaced by another table", exec: slices.Concat(again("tag", "tag_new", "(7, 1, 'seven', '', 7), (8, 3, 'eight', '', 8)"), []string{
		"ALTER TABLE tag RENAME TO tag_old", "ALTER TABLE tag_new RENAME TO tag", "DROP TABLE tag_old",
	}), rebuilt: "joined tags"},
	{name: "replaced at once", on: onMySQL, exec: slices.Concat(again("book", "book_new", "(1, 'eins', '', 1, ''), (4, 'vier', '', 4, '')"), []string{
		"RENAME TABLE book TO book_old, book_new TO book", "DROP TABLE book_old",
	}), rebuilt: "flat joined"},
	{name: "replaced while down", down: true, exec: slices.Concat(again("book", "book_new", "(1, 'un', '', 1, ''), (5, 'cinq', '', 5, '')"), []string{
		"ALTER TABLE book RENAME TO book_old", "ALTER TABLE book_new RENAME TO book", "DROP TABLE book_old",
	}), rebuilt: "flat joined"},
	{name: "renamed away, and made anew", exec: []string{
		"ALTER TABLE tag RENAME TO tag_old", "CREATE TABLE tag (id int PRIMARY KEY, book_id int, name varchar(50), other varchar(50), weight int)",
		"INSERT INTO tag SELECT id, book_id, 'copied', other, weight FROM tag_old WHERE id = 7", "DROP TABLE tag_old",
	}, rebuilt: "joined tags"},
	{name: "written to while a column had another name", on: onPostgres, exec: []string{
		"ALTER TABLE tag RENAME COLUMN name TO away", "INSERT INTO tag (id, book_id, away, weight) VALUES (60, 1, 'away', 1)", "ALTER TABLE tag RENAME COLUMN away TO name",
	}, rebuilt: "joined tags"},
	{name: "written to while two columns had each other's names, while down", on: onPostgres, down: true, exec: []string{
		"ALTER TABLE book RENAME COLUMN title TO third", "ALTER TABLE book RENAME COLUMN other TO title", "ALTER TABLE book RENAME COLUMN third TO other",
		"INSERT INTO book (id, title, other) VALUES (61, 'is other', 'is title')",
		"ALTER TABLE book RENAME COLUMN title TO third", "ALTER TABLE book RENAME COLUMN other TO title", "ALTER TABLE book RENAME COLUMN third TO other",
	}, rebuilt: "flat joined"},
	{name: "written to while the key had another name, while down", on: onPostgres, down: true, exec: []string{
		"ALTER TABLE tag RENAME COLUMN id TO no", "INSERT INTO tag (no, book_id, name, weight) VALUES (62, 1, 'no', 1)", "DELETE FROM tag WHERE no = 60", "ALTER TABLE tag RENAME COLUMN no TO id",
	}, rebuilt: "joined tags"},
	{name: "versions kept", on: servers.MariaDB, exec: []string{"ALTER TABLE tag ADD SYSTEM VERSIONING"}, rebuilt: "joined tags"},
	{name: "versions kept no more", on: servers.MariaDB, exec: []string{"UPDATE tag SET weight = weight + 1", "DELETE FROM tag WHERE id = 8", "ALTER TABLE tag DROP SYSTEM VERSIONING"}, rebuilt: "joined tags"},
	{name: "written as a statement", on: onMySQL, exec: []string{
		"SET SESSION binlog_format = STATEMENT", "UPDATE book SET title = CONCAT(title, '!')", "DELETE FROM book WHERE id = 2", "SET SESSION binlog_format = ROW",
	}, rebuilt: "flat joined"},
	{name: "written as a statement while down", on: onMySQL, down: true, exec: []string{
		"SET SESSION binlog_format = STATEMENT", "INSERT INTO tag SELECT id + 5000, book_id, 'stated', other, weight FROM tag", "SET SESSION binlog_format = ROW",
	}, rebuilt: "joined tags"},
	{name: "several tables at once", exec: []string{"TRUNCATE TABLE tag", "TRUNCATE TABLE book", "INSERT INTO book VALUES (1, 'last', '', 1, ''), (3, 'third', '', 3, '')"}, rebuilt: "flat joined tags"},

	{name: "indexes", exec: []string{"CREATE INDEX book_title ON book (title)", "CREATE INDEX tag_name ON tag (name)"}},
	{name: "columns that nobody uses", exec: []string{
		"ALTER TABLE book ADD COLUMN unused int DEFAULT 3", "ALTER TABLE tag ADD COLUMN unused int", "ALTER TABLE tag DROP COLUMN unused", "ALTER TABLE book DROP COLUMN spare",
	}},
	{name: "columns that take longer texts", on: onMySQL, exec: []string{"ALTER TABLE tag MODIFY name varchar(60) COMMENT 'longer'", "ALTER TABLE book MODIFY title varchar(60) NULL DEFAULT 'none'"}},
	{name: "a column added behind rows of the log", on: onPostgres, down: true, exec: []string{"INSERT INTO book (id, title) VALUES (63, 'before')", "ALTER TABLE book ADD COLUMN later int DEFAULT 3", "INSERT INTO book (id, title) VALUES (64, 'after')"}},
	{name: "defaults", exec: []string{"ALTER TABLE book ALTER COLUMN title SET DEFAULT 'none'", "ALTER TABLE book ALTER COLUMN title DROP DEFAULT"}},
	{name: "longer texts", on: onPostgres, exec: []string{"ALTER TABLE book ALTER title TYPE varchar(60)", "ALTER TABLE tag ALTER name TYPE varchar(60)"}},
	{name: "files", on: onPostgres, exec: []string{"VACUUM FULL book", "VACUUM FULL tag", "ANALYZE book"}},
	{name: "settings", on: onPostgres, down: true, exec: []string{"ALTER TABLE book ALTER title SET STATISTICS 50", "ALTER TABLE tag ALTER name SET NOT NULL", "COMMENT ON COLUMN tag.name IS 'x'"}},
	{name: "another table written as a statement", on: onMySQL, exec: []string{
		"CREATE TABLE another (id int PRIMARY KEY)", "SET SESSION binlog_format = STATEMENT", "INSERT INTO another SELECT id FROM book", "SET SESSION binlog_format = ROW",
	}},
	{name: "files and settings", on: onMySQL, down: true, exec: []string{"ALTER TABLE book ENGINE=InnoDB, COMMENT='x'", "ANALYZE TABLE tag", "ALTER TABLE tag AUTO_INCREMENT=100", "OPTIMIZE TABLE book"}},
}

// TestMeaning runs the cases one after the other under one daemon.
func TestMeaning(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		w.exec(meaningTables...)
		w.config(meaningConfig)
		w.start()
		w.settle()
		w.meaningHolds()
		for n, c := range meanings {
			if c.on != "" && !strings.Contains(c.on, w.server.Kind) {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				outer := w.t
				w.t = t
				defer func() { w.t = outer }()
				w.change(c, n)
			})
			if t.Failed() {
				return // what follows would only follow from it
			}
		}
	})
}

// change makes one case, and one write after it.
func (w *world) change(c meaning, n int) {
	before, made := w.physicals(), w.made()
	if c.down {
		w.stop()
	}
	w.exec(c.exec...)
	if c.down {
		w.start()
	}
	rebuilt := strings.Fields(c.rebuilt)
	w.eventually("what has changed is built anew", func() bool {
		now := w.physicals()
		return !slices.ContainsFunc(rebuilt, func(index string) bool { return now[index] == before[index] || now[index] == "" })
	})
	w.settle()
	w.meaningHolds()
	w.exec(fmt.Sprintf("UPDATE book SET title = 'after %d' WHERE id = 1", n), fmt.Sprintf("INSERT INTO tag (id, book_id, name, other, weight) VALUES (%d, 3, 'after', '%[1]d', 1)", 100+n))
	w.settle()
	w.meaningHolds()
	for index, physical := range w.physicals() {
		if physical != before[index] && !slices.Contains(rebuilt, index) {
			w.t.Errorf("index %s was built anew", index)
		}
	}
	if now := w.made(); now != made+len(rebuilt) {
		w.t.Errorf("%d physical indexes were made, want %d", now-made, len(rebuilt))
	}
}

// physicals are the indexes that the aliases point to.
func (w *world) physicals() map[string]string {
	all := map[string]string{}
	for _, index := range []string{"flat", "joined", "tags"} {
		all[index] = w.physicalOf(w.name + "-" + index)
	}
	return all
}

// made is how many physical indexes were made.
func (w *world) made() int { return strings.Count(w.log.tail(1<<30), `"index created"`) }

// meaningHolds compares the documents with what plain SQL says of the rows.
func (w *world) meaningHolds() {
	w.t.Helper()
	documents := map[string]map[string]map[string]any{"flat": {}, "joined": {}, "tags": {}}
	w.each("SELECT id, title, pages FROM book", func(v []any) {
		id := fmt.Sprint(v[0])
		documents["flat"][id] = map[string]any{"title": v[1], "pages": v[2]}
		documents["joined"][id] = map[string]any{"title": v[1], "tags": []any{}}
	})
	w.each("SELECT id, book_id, name, weight FROM tag ORDER BY id", func(v []any) {
		documents["tags"][fmt.Sprint(v[0])] = map[string]any{"name": v[2], "weight": v[3]}
		if book := documents["joined"][fmt.Sprint(v[1])]; book != nil && v[2] != nil { // NULL is no element
			book["tags"] = append(book["tags"].([]any), v[2])
		}
	})
	for index, of := range documents {
		want := map[string]string{}
		for id, document := range of {
			text, err := json.Marshal(document)
			if err != nil {
				w.t.Fatal(err)
			}
			want[id] = string(text)
		}
		w.compareWith(w.name+"-"+index, want)
	}
}

// each calls f with every row of a query, texts as strings.
func (w *world) each(query string, f func([]any)) {
	w.t.Helper()
	// A plan that is kept for the text of a query fails once a type has changed.
	query = fmt.Sprintf("%s /* %d */", query, time.Now().UnixNano())
	rows, err := w.db.QueryContext(w.ctx, query)
	if err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		w.t.Fatal(err)
	}
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			w.t.Fatal(err)
		}
		for i := range values {
			if text, ok := values[i].([]byte); ok {
				values[i] = string(text)
			}
		}
		f(values)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
}

// TestLabelRenamedForAWhile: what is written while a label has another name goes into the log with that one, and no
// row of the log tells that it has its own name again.
func TestLabelRenamedForAWhile(t *testing.T) {
	w := newWorld(t)
	w.exec("CREATE TYPE mood AS ENUM ('sad', 'glad')", "CREATE TABLE item (id int PRIMARY KEY, mood mood, moods mood[])",
		"INSERT INTO item VALUES (1, 'sad', '{sad}'), (2, 'sad', '{sad,glad}')")
	w.config("\n  NAME:\n    table: item\n    fields: {mood: {}, moods: {}}\n")
	w.start()
	w.settle()
	before := w.physicalOf(w.name)
	w.exec("ALTER TYPE mood RENAME VALUE 'glad' TO 'happy'", "UPDATE item SET mood = 'happy', moods = '{happy}' WHERE id = 1",
		"ALTER TYPE mood RENAME VALUE 'happy' TO 'glad'")
	w.eventually("the index is built anew", func() bool { return w.physicalOf(w.name) != before })
	w.settle()
	w.compare("SELECT id, json_build_object('mood', mood, 'moods', moods) FROM item")
}
