package endtoend

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// writtenTables are authors with notes and tags of notes.
func writtenTables(authors, notes int) []string {
	return []string{
		"CREATE TABLE author (id int PRIMARY KEY, name text, email text)",
		"CREATE TABLE note (id int PRIMARY KEY, title text, author_id int)",
		"CREATE TABLE tag (id int PRIMARY KEY, word text)",
		"CREATE TABLE note_tag (note_id int, tag_id int, PRIMARY KEY (note_id, tag_id))",
		fmt.Sprintf("INSERT INTO author SELECT n, 'author ' || n, 'at ' || n FROM generate_series(1, %d) n", authors),
		fmt.Sprintf("INSERT INTO note SELECT n, 'note ' || n, 1 + n %% %d FROM generate_series(1, %d) n", authors, notes),
		"INSERT INTO tag SELECT n, 'tag ' || n FROM generate_series(1, 5) n",
		"INSERT INTO note_tag SELECT id, 1 + id % 5 FROM note",
	}
}

const writtenIndex = `
  NAME:
    table: note
    fields: {title: {}, author: author.name, tags: tags.word}
`

const writtenRelations = `
tables:
  note:
    relations:
      author: {table: author, column: author_id}
      tags: {table: tag, through: note_tag, column: note_id, target_column: tag_id, many: true, order_by: [word]}
`

const writtenDocuments = `SELECT n.id::text, json_build_object('title', n.title, 'author', a.name, 'tags',
	coalesce((SELECT json_agg(t.word ORDER BY t.word) FROM note_tag nt JOIN tag t ON t.id = nt.tag_id WHERE nt.note_id = n.id), '[]'))::text
	FROM note n LEFT JOIN author a ON a.id = n.author_id`

// joined is a world with a daemon that follows notes with their authors and tags.
func joined(w *world, authors, notes int) {
	w.exec(writtenTables(authors, notes)...)
	w.config(writtenIndex + writtenRelations)
	w.start()
	w.eventually("the daemon is ready", w.ready)
	w.settle()
	// Every row was read into the store, and each note then rendered.
	read := float64(authors + notes + 5 + notes)
	if snapshot, _ := w.firstIndex()["snapshot"].(map[string]any); snapshot["state"] != "done" || snapshot["rows_done"] != read+float64(notes) || snapshot["rows_estimated"] != snapshot["rows_done"] {
		w.t.Errorf("the snapshot of %v rows and %d documents is %v", read, notes, snapshot)
	}
}

// TestStoreIsLost takes the row store away, puts an old copy in its place, and
// cuts files of it short, while the daemon is down and rows leave: each time a
// fresh index takes over, and no document is wrong.
func TestStoreIsLost(t *testing.T) {
	w := newWorld(t)
	joined(w, 10, 500)
	w.compare(writtenDocuments)
	store := filepath.Join(w.dir, "state", w.name, "rows")
	w.stop()
	before := filepath.Join(w.dir, "copy")
	if err := os.CopyFS(before, os.DirFS(store)); err != nil {
		t.Fatal(err)
	}
	for n, lose := range []func() error{
		func() error { return os.RemoveAll(store) },
		func() error {
			if err := os.RemoveAll(store); err != nil {
				return err
			}
			return os.CopyFS(store, os.DirFS(before))
		},
		func() error { return damage(store, ".sst", cutShort) },
		func() error { return damage(store, ".sst", zero) }, // which is found when it is read
		func() error { return damage(store, "MANIFEST", cutShort) },
	} {
		w.start()
		w.eventually("the daemon is ready", w.ready)
		w.settle()
		was := w.physical()
		w.exec(fmt.Sprintf("UPDATE note SET author_id = %d WHERE id %% 7 = 1", 1+n), fmt.Sprintf("DELETE FROM note WHERE id = %d", 10+n),
			fmt.Sprintf("UPDATE author SET name = 'now %d' WHERE id = 3", n), fmt.Sprintf("DELETE FROM note_tag WHERE note_id = %d", 30+n))
		w.settle()
		if n == 0 {
			w.stop()
		} else {
			w.kill()
		}
		if err := lose(); err != nil {
			t.Fatal(err)
		}
		w.exec(fmt.Sprintf("DELETE FROM note WHERE id = %d", 100+n), fmt.Sprintf("UPDATE note SET author_id = 2 WHERE id = %d", 200+n),
			"UPDATE author SET name = name || '!' WHERE id < 4")
		w.start()
		w.within(20*time.Second, "a fresh index serves", func() bool { return w.physical() != was && w.physical() != "" })
		w.settle()
		w.compare(writtenDocuments)
		if w.stop() != 0 {
			t.Error("the daemon did not end well")
		}
		if t.Failed() {
			t.Fatalf("loss %d", n)
		}
	}
}

// damage does something to the largest file of the store with a name that contains part.
func damage(store, part string, do func(name string, size int64) error) error {
	var largest string
	var size int64
	files, err := filepath.Glob(filepath.Join(store, "rows", "*"))
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(slices.Values(files)) {
		if info, err := os.Stat(name); err == nil && strings.Contains(filepath.Base(name), part) && info.Size() >= size {
			largest, size = name, info.Size()
		}
	}
	return do(largest, size)
}

func cutShort(name string, size int64) error { return os.Truncate(name, size/2) }

// zero writes zeros to the first half, which is rows. What tells of the file is at its end.
func zero(name string, size int64) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, size/2), 0)
	return errors.Join(err, f.Close())
}

// TestDefinitionsWithoutStoreBetween: a store that definitions without one have
// left behind is not taken for one that was followed.
func TestDefinitionsWithoutStoreBetween(t *testing.T) {
	w := newWorld(t)
	joined(w, 10, 200)
	w.stop()
	w.config("\n  NAME:\n    table: note\n    fields: {title: {}}\n")
	w.start()
	w.eventually("the daemon is ready", w.ready)
	w.exec("UPDATE author SET name = 'unseen'", "DELETE FROM note_tag WHERE tag_id = 2")
	w.settle()
	w.stop()
	w.config(writtenIndex + writtenRelations)
	w.start()
	w.within(20*time.Second, "the joined index serves", func() bool { return w.document("1")["author"] != nil })
	w.settle()
	w.compare(writtenDocuments)
}

// TestGapOfARelatedTable takes each table of a join out of the publication while
// the daemon is down: what was written meanwhile reaches the documents, and rows
// that came before that, and left in it, do not stay.
func TestGapOfARelatedTable(t *testing.T) {
	w := newWorld(t)
	joined(w, 10, 200)
	for n, table := range []string{"author", "note_tag", "note"} {
		was := w.physical()
		w.stop()
		before := fmt.Sprint(1000 + n)
		w.exec("INSERT INTO author VALUES ("+before+", 'short-lived', '')", "INSERT INTO note_tag VALUES (7, 4)",
			"INSERT INTO note VALUES ("+before+", 'short-lived', "+before+"), (1"+before+", 'stays', "+before+")",
			"ALTER PUBLICATION haystream_"+w.name+" DROP TABLE "+table,
			"DELETE FROM author WHERE id = 4 OR name = 'short-lived'", "UPDATE author SET name = name || '.'", fmt.Sprintf("INSERT INTO author VALUES (%d, 'new', '')", 20+n),
			"DELETE FROM note_tag WHERE tag_id = 4 OR note_id = 5", "INSERT INTO note_tag SELECT id, 5 FROM note WHERE id < 20 ON CONFLICT DO NOTHING",
			fmt.Sprintf("DELETE FROM note WHERE id = %d OR title = 'short-lived'", 30+n), fmt.Sprintf("UPDATE note SET author_id = %d WHERE id %% 7 = %[2]d", 20+n, n))
		w.start()
		w.within(20*time.Second, "a fresh index serves", func() bool { return w.physical() != was && w.physical() != "" })
		w.settle()
		w.compare(writtenDocuments)
		w.exec("UPDATE author SET name = name || '+'", "DELETE FROM note WHERE id = "+fmt.Sprint(50+n))
		w.settle()
		w.compare(writtenDocuments)
		if t.Failed() {
			t.Fatalf("without %s", table)
		}
	}
}
