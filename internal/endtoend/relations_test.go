package endtoend

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"haystream/internal/seeds"
	"haystream/internal/servers"
)

// relationTables has every kind of relation: to one and to many, through a
// table, chains, two keys to one table, a table related to itself, a key of two
// columns, keys of other widths on the two sides, and some rows only.
func relationTables(kind string) []string {
	suffix := ""
	if kind != servers.Postgres {
		suffix = " ENGINE=InnoDB"
	}
	tables := []string{
		`CREATE TABLE country (id bigint PRIMARY KEY, name varchar(50) NOT NULL)`,
		`CREATE TABLE region (code varchar(2), number integer, name varchar(50), PRIMARY KEY (code, number))`,
		`CREATE TABLE person (id bigint PRIMARY KEY, name varchar(50), email varchar(50), country_id bigint, code varchar(2), number integer,
			FOREIGN KEY (country_id) REFERENCES country (id), FOREIGN KEY (code, number) REFERENCES region (code, number))`,
		`CREATE TABLE category (id integer PRIMARY KEY, name varchar(50), parent_id integer, FOREIGN KEY (parent_id) REFERENCES category (id))`,
		`CREATE TABLE note (id bigint PRIMARY KEY, title varchar(100), views integer, published boolean NOT NULL,
			author_id bigint, editor_id bigint, category_id integer,
			FOREIGN KEY (author_id) REFERENCES person (id), FOREIGN KEY (editor_id) REFERENCES person (id), FOREIGN KEY (category_id) REFERENCES category (id))`,
		`CREATE TABLE remark (id bigint PRIMARY KEY, note_id bigint, user_id bigint, body varchar(100), created integer, hidden integer,
			FOREIGN KEY (note_id) REFERENCES note (id), FOREIGN KEY (user_id) REFERENCES person (id))`,
		`CREATE TABLE tag (id smallint PRIMARY KEY, name varchar(50))`,
		`CREATE TABLE note_tag (id bigint PRIMARY KEY, note_id bigint NOT NULL, tag_id bigint NOT NULL)`,
	}
	for i := range tables {
		tables[i] += suffix
	}
	return tables
}

const relationConfig = relationIndex + "tables:" + relationDeclarations

const (
	relationIndex = `
  NAME:
    table: note
    where: published && author.country.name != "Nowhere"
    fields:
      title: {}
      author: author.name
      label: author.label
      country: author.country.name
      region: author.region.name
      editor: editor.name
      category: category.name
      parent: category.parent.name
      tags: tags.name
      shown: shown.body
      topic: topic.name
      remarks:
        from: remarks
        type: nested
        fields: {body: {}, by: user.name, from: user.country.name}
      text:
        type: text
        template: "{{ object.title }} by {{ object.author.name }}: {{ range .tags }}{{ .name }} {{ end }}"
`
	relationDeclarations = `
  person:
    computed:
      label: "{{ .name }} <{{ .email }}>"
  note:
    relations:
      remarks: {table: remark, column: note_id, many: true, order_by: [created, id]}
      tags: {table: tag, through: note_tag, column: note_id, target_column: tag_id, many: true, order_by: [name, id]}
      shown: {table: remark, column: note_id, many: true, where: 'hidden < 5 && user.name != "gamma"', order_by: [-created, id], limit: 2}
      topic: {table: tag, through: note_tag, column: note_id, target_column: tag_id, many: false, where: 'name != "beta" && through.id % 2 == 0', order_by: name}
`
)

// relationDocuments is what the index must hold, in SQL written by hand.
func relationDocuments(kind string) string {
	const from = ` FROM note n LEFT JOIN person a ON a.id = n.author_id LEFT JOIN country c ON c.id = a.country_id
		LEFT JOIN region r ON r.code = a.code AND r.number = a.number LEFT JOIN person e ON e.id = n.editor_id
		LEFT JOIN category cat ON cat.id = n.category_id LEFT JOIN category up ON up.id = cat.parent_id
		WHERE n.published AND c.name <> 'Nowhere'`
	const tags = ` FROM note_tag nt JOIN tag t ON t.id = nt.tag_id WHERE nt.note_id = n.id`
	const remarks = ` FROM remark m LEFT JOIN person u ON u.id = m.user_id LEFT JOIN country uc ON uc.id = u.country_id WHERE m.note_id = n.id`
	const shown = ` FROM remark m JOIN person u ON u.id = m.user_id WHERE m.note_id = n.id AND m.hidden < 5 AND u.name <> 'gamma'`
	const topic = tags + ` AND t.name <> 'beta' AND nt.id % 2 = 0 ORDER BY `
	if kind == servers.Postgres {
		return `SELECT n.id::text, json_build_object('title', n.title, 'author', a.name, 'label', concat(a.name, ' <', a.email, '>'), 'country', c.name,
			'region', r.name, 'editor', e.name, 'category', cat.name, 'parent', up.name,
			'tags', coalesce((SELECT json_agg(t.name ORDER BY t.name, t.id)` + tags + `), '[]'),
			'shown', coalesce((SELECT json_agg(s.body) FROM (SELECT m.body` + shown + ` ORDER BY m.created DESC, m.id LIMIT 2) s), '[]'),
			'topic', (SELECT t.name` + topic + `t.name, t.id LIMIT 1),
			'remarks', coalesce((SELECT json_agg(json_build_object('body', m.body, 'by', u.name, 'from', uc.name) ORDER BY m.created, m.id)` + remarks + `), '[]'),
			'text', concat(n.title, ' by ', a.name, ': ', (SELECT string_agg(t.name || ' ', '' ORDER BY t.name, t.id)` + tags + `)))::text` + from
	}
	return `SELECT CAST(n.id AS char), JSON_OBJECT('title', n.title, 'author', a.name, 'label', CONCAT(COALESCE(a.name, ''), ' <', COALESCE(a.email, ''), '>'), 'country', c.name,
		'region', r.name, 'editor', e.name, 'category', cat.name, 'parent', up.name,
		'tags', JSON_EXTRACT(CONCAT('[', COALESCE((SELECT GROUP_CONCAT(JSON_QUOTE(t.name) ORDER BY CAST(t.name AS BINARY), t.id SEPARATOR ',')` + tags + `), ''), ']'), '$'),
		'shown', JSON_EXTRACT(CONCAT('[', COALESCE(SUBSTRING_INDEX((SELECT GROUP_CONCAT(JSON_QUOTE(m.body) ORDER BY m.created DESC, m.id SEPARATOR ',')` + shown + `), ',', 2), ''), ']'), '$'),
		'topic', (SELECT t.name` + topic + `CAST(t.name AS BINARY), t.id LIMIT 1),
		'remarks', JSON_EXTRACT(CONCAT('[', COALESCE((SELECT GROUP_CONCAT(JSON_OBJECT('body', m.body, 'by', u.name, 'from', uc.name) ORDER BY m.created, m.id SEPARATOR ',')` + remarks + `), ''), ']'), '$'),
		'text', CONCAT(COALESCE(n.title, ''), ' by ', COALESCE(a.name, ''), ': ', COALESCE((SELECT GROUP_CONCAT(CONCAT(t.name, ' ') ORDER BY CAST(t.name AS BINARY), t.id SEPARATOR '')` + tags + `), '')))` + from
}

// How many rows of each table there may be: few, so that changes meet.
const (
	countries, people, categories, notes, remarkRows, tagRows, noteTags = 4, 12, 6, 80, 200, 6, 160
)

// TestRelations changes tables of every kind of relation at random, kills the
// daemon on the way, and compares every document with a query written by hand.
func TestRelations(t *testing.T) { eachDatabase(t, relations) }

func relations(t *testing.T, w *world) {
	seed := seeds.One(t)
	w.exec(relationTables(w.server.Kind)...)
	random, pauses := rand.New(rand.NewPCG(seed, 0)), rand.New(rand.NewPCG(seed, 1))
	conn, err := w.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 600 {
		change(t.Context(), conn, random, w.server.Kind)
	}
	w.config(relationConfig)
	w.underWrites(pauses, func(ctx context.Context) { change(ctx, conn, random, w.server.Kind) })
	w.compare(relationDocuments(w.server.Kind))
}

// underWrites makes changes all the time, kills the daemon on the way, and ends
// when it holds everything.
func (w *world) underWrites(pauses *rand.Rand, change func(context.Context)) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	var changes atomic.Int64
	var writer sync.WaitGroup
	writer.Go(func() {
		for ctx.Err() == nil {
			change(context.WithoutCancel(ctx))
			changes.Add(1)
		}
	})
	for range 4 {
		w.start()
		at, pause := changes.Load(), int64(100+pauses.IntN(400))
		w.eventually("the writer goes on", func() bool { return changes.Load() > at+pause })
		w.kill()
	}
	w.start()
	w.eventually("the daemon is ready", w.ready)
	at := changes.Load()
	w.eventually("the writer goes on", func() bool { return changes.Load() > at+300 })
	cancel()
	writer.Wait()
	w.settle()
	w.t.Logf("%d transactions", changes.Load())
}

// change makes one transaction of some random statements.
func change(ctx context.Context, conn *sql.Conn, random *rand.Rand, kind string) {
	transact(ctx, conn, random, func() []string { return randomStatement(random, kind) })
}

// transact makes one transaction of some statements. One that meets a foreign
// key fails as a whole, which is a rollback like any other.
func transact(ctx context.Context, conn *sql.Conn, random *rand.Rand, next func() []string) {
	steps := 1
	if random.IntN(4) == 0 {
		steps = 1 + random.IntN(6)
	}
	statements := []string{"BEGIN"}
	for range steps {
		statements = append(statements, next()...)
	}
	end := "COMMIT"
	if random.IntN(8) == 0 {
		end = "ROLLBACK"
	}
	for _, statement := range append(statements, end) {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			_, _ = conn.ExecContext(ctx, "ROLLBACK")
			return
		}
	}
}

func randomStatement(random *rand.Rand, kind string) []string {
	id := func(most int) int { return 1 + random.IntN(most) }
	or := func(most int) string { // a key, or NULL
		if random.IntN(8) == 0 {
			return "NULL"
		}
		return strconv.Itoa(id(most))
	}
	word := func() string {
		return []string{"alpha", "beta", "gamma", "ümlaut", "quote''s", "Nowhere", "delta"}[random.IntN(7)] + strings.Repeat("x", random.IntN(2))
	}
	region := func() (string, int) { return string(rune('a' + random.IntN(2))), random.IntN(2) }
	replace := func(table string, id int, columns, values string) []string {
		return []string{fmt.Sprintf("DELETE FROM %s WHERE id = %d", table, id), fmt.Sprintf("INSERT INTO %s (id, %s) VALUES (%d, %s)", table, columns, id, values)}
	}
	code, number := region()
	switch random.IntN(24) {
	case 0:
		return replace("country", id(countries), "name", "'"+word()+"'")
	case 1:
		return []string{fmt.Sprintf("UPDATE country SET name = '%s' WHERE id = %d", word(), id(countries))}
	case 2:
		return []string{fmt.Sprintf("DELETE FROM region WHERE code = '%s' AND number = %d", code, number), fmt.Sprintf("INSERT INTO region VALUES ('%s', %d, '%s')", code, number, word())}
	case 3:
		return []string{fmt.Sprintf("UPDATE region SET name = '%s' WHERE code = '%s'", word(), code)}
	case 4:
		return replace("person", id(people), "name, email, country_id", fmt.Sprintf("'%s', '%s', %s", word(), word(), or(countries)))
	case 5:
		return []string{fmt.Sprintf("UPDATE person SET name = '%s' WHERE id = %d", word(), id(people))}
	case 6:
		return []string{fmt.Sprintf("UPDATE person SET country_id = %s, code = '%s', number = %d WHERE id = %d", or(countries), code, number, id(people))}
	case 7:
		return []string{fmt.Sprintf("UPDATE person SET email = NULL, code = NULL WHERE id = %d", id(people))}
	case 8:
		return replace("category", id(categories), "name, parent_id", fmt.Sprintf("'%s', %s", word(), or(categories)))
	case 9:
		return []string{fmt.Sprintf("UPDATE category SET parent_id = %s, name = '%s' WHERE id = %d", or(categories), word(), id(categories))}
	case 10, 11, 12:
		return replace("note", id(notes), "title, views, published, author_id, editor_id, category_id",
			fmt.Sprintf("'%s', 0, %t, %s, %s, %s", word(), random.IntN(4) > 0, or(people), or(people), or(categories)))
	case 13:
		return []string{fmt.Sprintf("UPDATE note SET author_id = %s, views = views + 1 WHERE id = %d", or(people), id(notes))}
	case 14:
		return []string{fmt.Sprintf("UPDATE note SET published = NOT published WHERE id BETWEEN %d AND %d", id(notes), id(notes))}
	case 15:
		return []string{fmt.Sprintf("UPDATE note SET id = %d WHERE id = %d", id(notes), id(notes))}
	case 16, 17:
		return replace("remark", id(remarkRows), "note_id, user_id, body, created", fmt.Sprintf("%s, %s, '%s', %d", or(notes), or(people), word(), random.IntN(5)))
	case 18:
		return []string{fmt.Sprintf("UPDATE remark SET note_id = %s, hidden = %d WHERE id = %d", or(notes), random.IntN(9), id(remarkRows))}
	case 19:
		return []string{fmt.Sprintf("DELETE FROM remark WHERE note_id = %d", id(notes))}
	case 20:
		return replace("tag", id(tagRows), "name", "'"+word()+"'")
	case 21:
		return replace("note_tag", id(noteTags), "note_id, tag_id", fmt.Sprintf("%d, %d", id(notes), id(tagRows)))
	case 22:
		return []string{fmt.Sprintf("DELETE FROM note_tag WHERE note_id = %d", id(notes))}
	}
	if random.IntN(40) > 0 {
		return []string{fmt.Sprintf("DELETE FROM note WHERE id = %d", id(notes))}
	}
	if kind == servers.Postgres {
		return []string{"TRUNCATE TABLE note_tag"}
	}
	return []string{"DELETE FROM note_tag"}
}
