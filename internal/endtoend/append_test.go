package endtoend

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"haystream/internal/servers"
)

// An appending is a world with an index of mode append, and what its documents of
// rows that are gone have said.
type appending struct {
	*world
	joined bool
	began  bool   // it was joined in the beginning
	mirror bool   // the mode was taken out of the definition
	fields string // of the definition, beyond every column
	extra  string // settings of the definition
	column string // that the table has got
	next   int    // id of the next row
	gone   map[string]json.RawMessage
}

// An appendChange is something that must not cost an append index a document.
type appendChange struct {
	name   string
	down   bool // it happens while the daemon is down
	goes   bool // and the log goes on where it was
	change func(*appending)
	beside bool // it needs another physical index
}

var appendChanges = []appendChange{
	{name: "a field is added", down: true, goes: true, change: func(a *appending) { a.fields = `again: name` }},
	{name: "a column is added", change: func(a *appending) {
		a.exec("ALTER TABLE hot ADD COLUMN extra int DEFAULT 5")
		a.column = "extra"
	}},
	{name: "a setting changes", down: true, goes: true, change: func(a *appending) { a.extra = `settings: {refresh_interval: 2s}` }},
	{name: "the layout changes", down: true, goes: true, beside: true, change: func(a *appending) { a.extra = `settings: {number_of_shards: 2}` }},
	{name: "a field goes", down: true, goes: true, change: func(a *appending) { a.fields = "" }},
	{name: "a type changes", beside: true, change: func(a *appending) {
		if a.server.Kind == servers.Postgres {
			a.exec("ALTER TABLE hot ALTER counter TYPE integer")
		} else {
			a.exec("ALTER TABLE hot MODIFY counter int NOT NULL DEFAULT 0")
		}
	}},
	{name: "the table is emptied", change: func(a *appending) { a.empty("TRUNCATE TABLE hot") }},
	{name: "another table takes the name", change: func(a *appending) {
		a.exec(a.dialect.copyTable, "INSERT INTO hot_new SELECT * FROM hot WHERE id % 2 = 0")
		a.remember("SELECT id FROM hot WHERE id % 2 = 1")
		a.exec(a.dialect.swap...)
	}},
	{name: "the log is lost", down: true, change: func(a *appending) {
		a.remember("SELECT id FROM hot WHERE id % 10 = 2")
		a.exec("DELETE FROM hot WHERE id % 10 = 2")
		a.loseLog()
	}},
	{name: "the checkpoint is lost", down: true, change: func(a *appending) {
		a.request(http.MethodDelete, a.search.URL+"/haystream-checkpoints/_doc/"+a.name, "")
	}},
	{name: "rows are stored, or are no more", down: true, beside: true, change: func(a *appending) { a.joined = !a.joined }},
	{name: "the row store is lost", down: true, change: func(a *appending) {
		if err := os.RemoveAll(filepath.Join(a.dir, "state")); err != nil {
			a.t.Fatal(err)
		}
	}},
}

// TestAppendKeepsDocuments changes all that makes other indexes be built anew, one
// thing after the other. Rows come and go before each, and in the middle of it.
func TestAppendKeepsDocuments(t *testing.T) {
	for _, joined := range []bool{false, true} {
		t.Run(map[bool]string{false: "flat", true: "joined"}[joined], func(t *testing.T) {
			eachDatabase(t, func(t *testing.T, w *world) {
				a := &appending{world: w, joined: joined, began: joined, next: 1, gone: map[string]json.RawMessage{}}
				a.begin()
				for n, c := range appendChanges {
					if a.mine(n) && !a.step(c) {
						t.Fatalf("after: %s", c.name)
					}
				}
			})
		})
	}
}

// mine shares the changes out: each is made on one kind of server for flat
// definitions, and on another one for joined ones; with all versions on every one.
func (a *appending) mine(n int) bool {
	turn := map[string]int{servers.MySQL: 1, servers.MariaDB: 2}[a.server.Kind]
	if a.began {
		turn++
	}
	return os.Getenv("HAYSTREAM_TEST_VERSIONS") == "all" || n%3 == turn%3
}

func (a *appending) begin() {
	a.t.Helper()
	a.exec(a.dialect.hotTable, "CREATE TABLE owner (id bigint PRIMARY KEY, name varchar(20))", "INSERT INTO owner VALUES (0, 'none'), (2, 'two'), (3, 'three')")
	a.insert(100)
	a.configure()
	a.start()
	a.settle()
}

func (a *appending) configure() {
	fields, mode := a.fields, "mode: append"
	if a.mirror {
		mode = ""
	}
	if a.joined {
		fields = strings.Trim("owner: owner.name, "+fields, ", ")
	}
	tables := ""
	if a.joined {
		tables = "tables:\n  hot:\n    relations:\n      owner: {table: owner, column: counter, target_column: id}\n"
	}
	a.config("  NAME:\n    table: hot\n    " + mode + "\n    fields: {\"*\": {}, " + fields + "}\n    " + a.extra + "\n" + tables)
}

func (a *appending) insert(count int) {
	a.exec(a.dialect.rows(a.next, a.next+count-1))
	a.next += count
}

// passing inserts rows and deletes them again.
func (a *appending) passing(count int) {
	a.t.Helper()
	from := a.next
	a.insert(count)
	for id, document := range a.wanted(a.want()) {
		if n, err := strconv.Atoi(id); err == nil && n >= from {
			a.gone[id] = json.RawMessage(document)
		}
	}
	a.exec(fmt.Sprintf("DELETE FROM hot WHERE id >= %d", from))
}

// remember keeps what the documents of rows say that are about to go.
func (a *appending) remember(query string) {
	a.t.Helper()
	rows, err := a.db.QueryContext(a.t.Context(), query)
	if err != nil {
		a.t.Fatal(err)
	}
	defer rows.Close()
	documents := a.documents()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			a.t.Fatal(err)
		}
		if a.gone[id] = documents[id]; documents[id] == nil {
			a.t.Errorf("row %s has no document", id)
		}
	}
	if err := rows.Err(); err != nil {
		a.t.Fatal(err)
	}
}

func (a *appending) empty(statement string) {
	a.t.Helper()
	a.remember("SELECT id FROM hot")
	a.exec(statement)
	a.insert(30)
}

// want is SQL for the documents of the rows that there are.
func (a *appending) want() string {
	sql := a.dialect.documents
	if a.column != "" {
		sql = a.dialect.withColumn(a.column)
	}
	if a.fields != "" {
		sql = strings.Replace(sql, "'name', name", "'name', name, 'again', name", 1)
	}
	if a.joined {
		sql = strings.Replace(sql, "'name', name", "'name', name, 'owner', (SELECT o.name FROM owner o WHERE o.id = counter)", 1)
	}
	return sql
}

// step makes a change, and reports whether all documents are there after it.
func (a *appending) step(c appendChange) bool {
	a.t.Helper()
	from := a.next
	a.insert(20)
	a.settle()
	a.remember(fmt.Sprintf("SELECT id FROM hot WHERE id >= %d", from))
	a.exec(fmt.Sprintf("DELETE FROM hot WHERE id >= %d", from))
	a.settle()
	before := a.physical()
	if c.down {
		a.stop()
	}
	c.change(a)
	a.configure()
	if c.goes && !a.joined { // of stored rows it is rendered what they are like in the end
		a.passing(5)
	}
	if c.down {
		a.start()
	}
	a.insert(10)
	a.exec("UPDATE hot SET counter = 3 WHERE id % 7 = 1")
	a.eventually("the change is seen", func() bool { return a.document(fmt.Sprint(a.next-1)) != nil })
	a.settle()
	a.compareAll()
	if after := a.physical(); c.beside != (after != before) {
		a.t.Errorf("the index was %s and is %s", before, after)
	}
	if _, body := a.get(a.search.URL + "/" + a.name + "-2*/_alias"); strings.Count(string(body), "-write") != 1 {
		a.eventually("replaced indexes are dropped", func() bool {
			_, body = a.get(a.search.URL + "/" + a.name + "-2*/_alias")
			return strings.Count(string(body), "-write") == 1
		})
	}
	return !a.t.Failed()
}

// compareAll compares the documents of rows that there are with the rows, and the
// others with what they have said before.
func (a *appending) compareAll() {
	a.t.Helper()
	want := a.wanted(a.want())
	for id, was := range a.gone {
		if want[id] != "" {
			a.t.Errorf("row %s is not gone", id)
		}
		want[id] = string(was)
	}
	a.compareWith(a.name, want)
}

// TestAppendKilledWhileCopying kills the daemon whenever it begins to copy documents
// into another physical index, under writes; then takes the change back in the middle.
func TestAppendKilledWhileCopying(t *testing.T) {
	w := newWorld(t)
	a := &appending{world: w, next: 1, gone: map[string]json.RawMessage{}}
	a.begin()
	a.insert(6000)
	a.settle()
	a.remember("SELECT id FROM hot WHERE id % 3 > 0")
	a.exec("DELETE FROM hot WHERE id % 3 > 0")
	a.settle()
	first := a.physical()
	for kills := range 3 {
		a.extra = "settings: {number_of_shards: 2}"
		a.configure()
		began := a.log.count("copying documents of rows that are gone")
		if kills == 0 {
			a.stop()
			a.passing(5)
			a.start()
		}
		a.eventually("documents are being copied", func() bool { return a.log.count("copying documents of rows that are gone") > began })
		a.passing(5)
		a.kill()
		a.passing(5)
		if kills == 2 {
			a.extra = ""
			a.configure()
		}
		a.start()
	}
	a.settle()
	a.compareAll()
	if a.physical() != first {
		t.Error("the change was taken back, and its index serves")
	}
	a.extra = "settings: {number_of_shards: 2}"
	a.stop()
	a.configure()
	a.start()
	a.settle()
	a.compareAll()
	second := a.physical()
	if second == first {
		t.Errorf("the index was %s and is %s", first, second)
	}
	a.eventually("the replaced index is dropped", func() bool { return !a.indexExists(first) })
	a.stop()
	a.mirror = true
	a.configure()
	a.start()
	a.settle()
	a.compare(a.want())
	if !a.indexExists(second) {
		t.Error("an index of mode append was dropped for one that is not")
	}
}

// TestAppendRefused: documents of rows that are gone and do not fit a changed mapping
// are kept as dead letters.
func TestAppendRefused(t *testing.T) {
	w := newWorld(t)
	w.exec("CREATE TABLE free (id int PRIMARY KEY, word text)", "INSERT INTO free VALUES (1, '12'), (2, 'no number'), (3, '13'), (4, '14')")
	for n, kind := range []string{"keyword", "integer"} {
		w.config("\n  NAME:\n    table: free\n    mode: append\n    fields: {word: {type: " + kind + "}}\n")
		w.start()
		w.settle()
		if n == 0 {
			w.exec("DELETE FROM free WHERE id < 4")
			w.settle()
			w.stop()
		}
	}
	if got := w.documents(); len(got) != 3 || got["2"] != nil {
		t.Errorf("documents: %s", got)
	}
	w.eventually("the dead letter shows in /status", func() bool { return w.deadLetters() == 1 })
	if letter := w.letterOf("2"); !strings.Contains(letter.Body, "no number") {
		t.Errorf("the dead letter does not carry the document: %+v", letter)
	}

	// What takes it again gets it back.
	w.stop()
	w.config("\n  NAME:\n    table: free\n    mode: append\n    fields: {word: {type: text}}\n")
	w.start()
	w.settle()
	if got := w.documents(); len(got) != 4 || !strings.Contains(string(got["2"]), "no number") {
		t.Errorf("documents after the mapping takes them again: %s", got)
	}
	w.eventually("no dead letter is left", func() bool { return w.deadLetters() == 0 })
}

// TestAppendGlob: tables come under a glob, and leave it.
func TestAppendGlob(t *testing.T) {
	w := newWorld(t)
	w.config("\n  NAME:\n    table: part_*\n    mode: append\n    fields: \"*\"\n")
	w.exec("CREATE TABLE part_a (id int PRIMARY KEY, word text)", "INSERT INTO part_a SELECT n, 'a' FROM generate_series(1, 20) n")
	w.start()
	w.settle()
	w.exec("DELETE FROM part_a WHERE id > 10")
	w.settle()
	first := w.physical()
	for n, change := range []string{
		"CREATE TABLE part_b AS SELECT * FROM part_a; ALTER TABLE part_b ADD PRIMARY KEY (id); INSERT INTO part_a VALUES (21, 'c'); DELETE FROM part_a WHERE id = 21",
		"DELETE FROM part_b; DROP TABLE part_a",
	} {
		w.stop()
		w.exec(change)
		w.start()
		w.settle()
		if got := len(w.documents()); got != 31 || w.physical() != first {
			t.Errorf("after change %d there are %d documents in %s, were %s", n, got, w.physical(), first)
		}
	}
}

// TestAppendNeedsMoreOfStoredRows: a changed definition of joined documents takes
// effect once what it needs more of related rows is stored.
func TestAppendNeedsMoreOfStoredRows(t *testing.T) {
	w := newWorld(t)
	w.exec("CREATE TABLE owner (id int PRIMARY KEY, name text, city text)", "INSERT INTO owner VALUES (1, 'one', 'Ulm')",
		"CREATE TABLE hot (id int PRIMARY KEY, owner_id int REFERENCES owner)", "INSERT INTO hot VALUES (1, 1), (2, 1)")
	const index = "\n  NAME:\n    table: hot\n    mode: append\n    fields: {owner: owner.name%s}\n"
	w.config(fmt.Sprintf(index, ""))
	w.start()
	w.settle()
	w.exec("DELETE FROM hot WHERE id = 2")
	w.settle()
	w.stop()
	w.config(fmt.Sprintf(index, ", city: owner.city"))
	w.start()
	w.eventually("the definition takes effect", func() bool { return w.document("1")["city"] == "Ulm" })
	w.exec("UPDATE owner SET city = 'Bonn'")
	w.eventually("and follows", func() bool { return w.document("1")["city"] == "Bonn" })
	if got := w.document("2"); got["owner"] != "one" {
		t.Errorf("the document of the row that is gone says %v", got)
	}
}
