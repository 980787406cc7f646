package endtoend

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"haystream/internal/seeds"
	"haystream/internal/servers"
)

// TestOtherColumns changes a definition so that other columns of a table, and
// another table, are stored: until the new index has them the old one is fed, what is
// stored already is not read again, and an index that has not changed is left alone.
func TestOtherColumns(t *testing.T) { eachDatabase(t, otherColumns) }

var authorTables = []string{
	`CREATE TABLE city (id integer PRIMARY KEY, name varchar(50))`,
	`CREATE TABLE author (id integer PRIMARY KEY, name varchar(50), city_id integer, email varchar(50), FOREIGN KEY (city_id) REFERENCES city (id) ON DELETE SET NULL)`,
	`CREATE TABLE post (id integer PRIMARY KEY, author_id integer, title varchar(50), FOREIGN KEY (author_id) REFERENCES author (id) ON DELETE CASCADE)`,
}

const (
	authorCount = 300
	authorIndex = `
  posts:
    index: NAME
    table: post
    fields: {title: {}, author: author.name%s}
  writers:
    index: NAME-writers
    table: post
    fields: {writer: author.name}
`
)

// writerDocuments is what the definition that never changes gives.
func writerDocuments(kind string) string {
	object, text := jsonWords(kind)
	return fmt.Sprintf("SELECT CAST(p.id AS %[2]s), CAST(%[1]s('writer', a.name) AS %[2]s) FROM post p LEFT JOIN author a ON a.id = p.author_id", object, text)
}

// authorDocuments is what the changed definitions give, in SQL written by hand.
func authorDocuments(kind, last string) string {
	object, text := jsonWords(kind)
	return fmt.Sprintf(`SELECT CAST(p.id AS %[2]s), CAST(%[1]s('title', p.title, 'author', a.name, 'city', %[3]s) AS %[2]s)
		FROM post p LEFT JOIN author a ON a.id = p.author_id LEFT JOIN city c ON c.id = a.city_id`, object, text, last)
}

// authors makes the tables with their first rows.
func (w *world) authors() {
	w.t.Helper()
	values := func(count int, row string) string {
		var rows []string
		for id := 1; id <= count; id++ {
			rows = append(rows, strings.ReplaceAll(row, "ID", strconv.Itoa(id)))
		}
		return strings.Join(rows, ", ")
	}
	w.exec(authorTables...)
	w.exec("INSERT INTO city VALUES "+values(20, "(ID, 'city')"), "INSERT INTO author VALUES "+values(authorCount, "(ID, 'author', 1, 'mail')"),
		"INSERT INTO post VALUES "+values(authorCount, "(ID, ID, 'title')"))
}

func randomPost(random *rand.Rand) string {
	id := func(most int) int { return 1 + random.IntN(most) }
	switch random.IntN(8) {
	case 0:
		return fmt.Sprintf("INSERT INTO city VALUES (%d, 'city %d')", id(20), random.IntN(9))
	case 1:
		return fmt.Sprintf("DELETE FROM city WHERE id = %d", id(20))
	case 2:
		return fmt.Sprintf("INSERT INTO author VALUES (%d, 'author %d', %d, 'mail')", id(authorCount), random.IntN(9), id(20))
	case 3:
		return fmt.Sprintf("DELETE FROM author WHERE id = %d", id(authorCount))
	case 4:
		return fmt.Sprintf("UPDATE author SET name = 'renamed %d', city_id = %d WHERE id = %d", random.IntN(9), id(20), id(authorCount))
	case 5:
		return fmt.Sprintf("INSERT INTO post VALUES (%d, %d, 'title %d')", id(2*authorCount), id(authorCount), random.IntN(9))
	case 6:
		return fmt.Sprintf("DELETE FROM post WHERE id = %d", id(2*authorCount))
	}
	return fmt.Sprintf("UPDATE post SET author_id = %d WHERE id = %d", id(authorCount), id(2*authorCount))
}

func otherColumns(t *testing.T, w *world) {
	seed := seeds.One(t)
	random, pauses := rand.New(rand.NewPCG(seed, 0)), rand.New(rand.NewPCG(seed, 1))
	w.authors()
	w.config(fmt.Sprintf(authorIndex, ""))
	w.start()
	w.settle()
	first, others := w.physical(), w.physicalOf(w.name+"-writers")
	before := map[string]int{"author": w.readings("author"), "city": w.readings("city"), "post": w.readings("post")}
	w.stop()

	w.chunk, w.rate = 7, 70
	w.config(fmt.Sprintf(authorIndex, ", city: author.city.name"))
	w.start()
	w.eventually("the new index is built", func() bool { return w.log.contains("building the index anew") })
	w.exec("UPDATE author SET name = 'other' WHERE id = 299", "DELETE FROM author WHERE id = 300")
	w.eventually("the old index follows meanwhile", func() bool { return w.document("299")["author"] == "other" && w.document("300") == nil })
	w.exec("UPDATE post SET author_id = 299 WHERE id < 50") // of whom nothing was read again
	w.eventually("so does the one that has not changed", func() bool {
		_, body := w.get(w.search.URL + "/" + w.name + "-writers/_doc/3")
		return strings.Contains(string(body), `"other"`)
	})
	if at := w.physical(); at != first {
		t.Errorf("%s serves before it has everything, not %s", at, first)
	}
	conn, err := w.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.kill()
	w.underWrites(pauses, func(ctx context.Context) {
		transact(ctx, conn, random, func() []string { return []string{randomPost(random)} })
	})
	w.compare(authorDocuments(w.server.Kind, "c.name"))
	w.compareIn(w.name+"-writers", writerDocuments(w.server.Kind))
	if at := w.physical(); at == first {
		t.Errorf("%s serves still", at)
	}
	if at := w.physicalOf(w.name + "-writers"); at != others {
		t.Errorf("the index that has not changed was built anew: %s, not %s", at, others)
	}
	for table, read := range map[string]bool{"author": true, "city": true, "post": false} {
		if again := w.readings(table) > before[table]; again != read {
			t.Errorf("table %s was read again: %v", table, again)
		}
	}

	w.stop()
	w.start() // with one form of each table
	w.settle()
	w.stop()
	w.chunk, w.rate = 0, 0
	w.config(fmt.Sprintf(authorIndex, ", city: author.email"))
	w.start()
	w.eventually("the former table is gone", func() bool { return w.log.contains("what was stored for former definitions is deleted") })
	w.exec("UPDATE author SET email = 'other' WHERE id < 9")
	w.settle()
	w.compare(authorDocuments(w.server.Kind, "a.email"))

	// One more index, of columns that are not stored yet.
	before["done"] = w.deletions()
	w.stop()
	w.config(fmt.Sprintf(authorIndex, ", city: author.email") + "  cities:\n    index: NAME-cities\n    table: post\n    fields: {city: author.city_id}\n")
	w.exec("UPDATE author SET name = 'last' WHERE id < 99")
	w.start()
	w.eventually("all is stored in one form", func() bool { return w.deletions() > before["done"] })
	w.exec("UPDATE author SET name = 'very last' WHERE id < 50")
	w.settle()
	w.compare(authorDocuments(w.server.Kind, "a.email"))
	w.compareIn(w.name+"-writers", writerDocuments(w.server.Kind))
	if at := w.physicalOf(w.name + "-writers"); at != others {
		t.Errorf("the index that has not changed was built anew: %s, not %s", at, others)
	}
}

// deletions is how often what is not needed any more was deleted.
func (w *world) deletions() int {
	return strings.Count(w.log.tail(1<<30), "what was stored for former definitions is deleted")
}

// readings is how often a daemon has begun to read a table.
func (w *world) readings(table string) (n int) {
	for line := range strings.Lines(w.log.tail(1 << 30)) {
		if strings.Contains(line, `"reading table"`) && strings.Contains(line, "."+table+`"`) {
			n++
		}
	}
	return n
}

// TestStoredTableAltered alters a stored table so that it has to be read again,
// under a definition that stays or is another by it: what serves stays as it was
// meanwhile, and lacks nothing afterwards.
func TestStoredTableAltered(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		w.authors()
		w.chunk, w.rate = 7, 0
		w.config(fmt.Sprintf(authorIndex, ", city: author.email"))
		w.start()
		w.settle()
		w.stop()
		w.rate = 70
		w.config(fmt.Sprintf(authorIndex, ", city: author.email"))
		w.start()
		w.settle()
		before, alter := w.readings("author"), "ALTER TABLE author MODIFY id integer NOT NULL AFTER name"
		if w.server.Kind == servers.Postgres {
			alter = "ALTER TABLE author ALTER email TYPE text"
		}
		w.exec(alter, "UPDATE author SET name = 'first' WHERE id = 1")
		w.eventually("the table is read again", func() bool { return w.readings("author") > before })
		w.exec("UPDATE post SET title = 'changed' WHERE id IN (250, 251)", "DELETE FROM post WHERE id = 252", "UPDATE author SET name = 'renamed' WHERE id = 253")
		w.eventually("the change has come", func() bool {
			doc := w.document("250")
			if doc["author"] != "author" {
				t.Fatalf("the index that serves has lost a value: %v", doc)
			}
			return doc["title"] == "changed"
		})
		w.settle()
		w.compare(authorDocuments(w.server.Kind, "a.email"))
		w.compareIn(w.name+"-writers", writerDocuments(w.server.Kind))
	})
}

// TestSurplusColumn: a column that was stored once and is not needed for a while
// is not taken for good later, since a foreign key may have changed it unlogged.
func TestSurplusColumn(t *testing.T) {
	eachDatabase(t, func(_ *testing.T, w *world) {
		w.authors()
		for _, fields := range []string{", city: author.city.name", "", ", city: author.city.name"} {
			w.config(fmt.Sprintf(authorIndex, fields))
			w.start()
			w.settle()
			if fields != "" {
				w.compare(authorDocuments(w.server.Kind, "c.name"))
			}
			w.stop()
			w.start() // what is not needed any more is not followed
			w.settle()
			if fields == "" {
				w.exec("UPDATE author SET city_id = 2 WHERE id < 9", "DELETE FROM city WHERE id = 1")
				w.settle()
			}
			w.stop()
		}
	})
}

// TestTakenBack: a configuration that never comes to run, and is taken back, costs
// the indexes of the former one nothing but time.
func TestTakenBack(t *testing.T) {
	w := worldOn(t, mysqls[0].Get(t), search.Get(t))
	w.authors()
	const cities = "  cities:\n    index: NAME-cities\n    table: author\n    fields: {city: city.name}\n"
	both := fmt.Sprintf(authorIndex, ", city: author.email") + cities
	w.config(both)
	w.start()
	w.settle()
	w.stop()
	lock, err := w.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got int
	if err := lock.QueryRowContext(t.Context(), "SELECT GET_LOCK('haystream/haystream_"+w.name+"', 20)").Scan(&got); err != nil || got != 1 {
		t.Fatalf("the daemon's lock: %d, %v", got, err)
	}
	w.config("\n" + cities)
	w.start()
	w.eventually("it waits for the lock", func() bool { return w.log.contains("standing by") })
	w.stop()
	if _, err := lock.ExecContext(t.Context(), "DO RELEASE_ALL_LOCKS()"); err != nil {
		t.Fatal(err)
	}
	w.chunk, w.rate = 7, 70
	w.config(both)
	before := w.readings("post")
	w.start()
	w.eventually("what was dropped is read again", func() bool { return w.readings("post") > before })
	w.exec("DELETE FROM post WHERE id IN (250, 251)", "UPDATE author SET name = 'renamed' WHERE id = 252")
	w.settle()
	w.compare(authorDocuments(w.server.Kind, "a.email"))
	w.compareIn(w.name+"-writers", writerDocuments(w.server.Kind))
}
