package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The joined documents: a note with its author, three tags and two comments, each of those with its author. Of so many rows of
// the table that is there, one makes a note; of so many notes, one has another author.
const (
	rowsPerNote    = 4
	notesPerPerson = 10
	tags           = 1000
)

// joinedTables are the tables that the documents are made of, and their rows, for so many notes and persons.
const joinedTables = `
CREATE TABLE person (id bigint PRIMARY KEY, username varchar(40) NOT NULL);
CREATE TABLE note (id bigint PRIMARY KEY, person_id bigint NOT NULL, title varchar(120) NOT NULL, body text NOT NULL, FOREIGN KEY (person_id) REFERENCES person (id));
CREATE TABLE tag (id bigint PRIMARY KEY, name varchar(40) NOT NULL);
CREATE TABLE note_tag (id bigint PRIMARY KEY, note_id bigint NOT NULL, tag_id bigint NOT NULL,
	FOREIGN KEY (note_id) REFERENCES note (id), FOREIGN KEY (tag_id) REFERENCES tag (id));
CREATE TABLE comment (id bigint PRIMARY KEY, note_id bigint NOT NULL, person_id bigint NOT NULL, body varchar(200) NOT NULL,
	FOREIGN KEY (note_id) REFERENCES note (id), FOREIGN KEY (person_id) REFERENCES person (id));
INSERT INTO person SELECT id, concat('person', id) FROM bench WHERE id <= ${persons};
INSERT INTO tag SELECT id, concat('tag', id) FROM bench WHERE id <= ${tags};
INSERT INTO note SELECT id, 1 + mod(id * 7919, ${persons}), title, body FROM bench WHERE id <= ${notes};
INSERT INTO note_tag SELECT id, floor((id + 2) / 3), 1 + mod(id * 7919, ${tags}) FROM bench WHERE id <= 3 * ${notes};
INSERT INTO comment SELECT id, 1 + mod(id, ${notes}), 1 + mod(id * 104729, ${persons}), title FROM bench WHERE id <= 2 * ${notes}`

// joinedConfig defines the documents.
const joinedConfig = `
tables:
  note:
    relations:
      tags: {table: tag, through: note_tag, column: note_id, target_column: tag_id, many: true, order_by: [name]}
      comments: {table: comment, column: note_id, many: true, order_by: [id]}
indexes:
  notes:
    table: note
    fields:
      title: {}
      body: {}
      author: person.username
      tags: tags.name
      comments: {from: comments, type: nested, fields: {author: person.username, body: {}}}
`

// joins loads joined documents, then lets the stopped pipeline catch up with changes of one table after the other. What is
// counted are the documents that the sink was given: one for many changes where these came close together.
func (b *bench) joins(ctx context.Context) error {
	notes := b.rows / rowsPerNote
	persons := notes / notesPerPerson
	s, err := b.db.connect(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	sizes := map[string]int{"notes": notes, "persons": persons, "tags": tags}
	text := os.Expand(joinedTables, func(name string) string { return fmt.Sprint(sizes[name]) })
	for _, sql := range strings.Split(text, ";\n") {
		if err := s.exec(ctx, sql); err != nil {
			return err
		}
	}
	d, err := b.pipeline(ctx, "joined", counting, joinedConfig)
	if err != nil {
		return err
	}
	phase := func(what string, changes int) error {
		r := result{database: b.product.name, what: "joined, " + what, baseline: "-", least: 40_000, cpu: 30}
		m, err := d.measure(ctx, d.settled(changes, &r.documents))
		if err != nil {
			return err
		}
		r.ours = append(r.ours, m)
		b.report.results = append(b.report.results, r)
		size, err := folderSize(filepath.Join(d.dir, "state"))
		note("%s: %d documents in %.2f s, %.1f s of CPU, %d bytes of store for a document", r.what, r.documents, m.took.Seconds(), m.cpu.Seconds(), size/int64(notes))
		return err
	}
	if err := phase("load", 0); err != nil {
		return err
	}
	for _, change := range []struct {
		table, set     string
		rows, together int
	}{
		{"note", "title = concat('new ', title)", notes, 100},
		{"comment", "body = concat('new ', body)", 2 * notes, 100},
		{"person", "username = concat('new', username)", persons, 100},
		{"comment", "body = concat('new ', body)", 2 * notes, 2 * notes},
	} {
		for at := 0; at < change.rows; at += change.together {
			if err := s.exec(ctx, fmt.Sprintf("UPDATE %s SET %s WHERE id > %d AND id <= %d", change.table, change.set, at, at+change.together)); err != nil {
				return err
			}
		}
		if err := phase(fmt.Sprintf("changes of %ss, transactions of %d", change.table, change.together), change.rows); err != nil {
			return err
		}
	}
	return nil
}

// settled waits until so many changes were read in this start and no document is waiting, and says how many were written.
func (d *daemon) settled(changes int, documents *int) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		s, err := d.status(ctx)
		if err != nil || len(s.Indexes) != 1 || s.Source.Changes < changes || s.Store.Pending > 0 {
			return false, nil //nolint:nilerr // it is not up yet
		}
		*documents = s.Indexes[0].Written
		return s.Indexes[0].Snapshot.State == "done", nil
	}
}
