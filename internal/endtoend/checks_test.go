package endtoend

import (
	"fmt"
	"slices"
	"strings"

	"haystream/internal/servers"
)

// A check is what one feature has to keep, whatever happens: rows that come before the daemon
// and change twice, and the documents that they amount to. It is written in PostgreSQL's words
// (see translated), and knows nothing of scenarios.
type check struct {
	name   string // also of the index: NAME_name
	schema []string
	config string // of the definition, on one line or many, without its first indent
	tables string // below `tables:`
	more   string // what a changed definition has for MORE in config
	added  string // and what its documents have for MORE in want

	make, change, again []string
	want                string // the documents by id, or period/id, or id@routing

	pipeline string // an ingest pipeline, NAME in the definition
	pushed   string // the events to push by HTTP: all of this query, again and again
	anew     bool   // its index is built anew by what the check does itself
	unstored bool   // what was not read of it when the log is lost is lost
	later    bool   // what is wanted changes by itself
}

// checksOf are those of the features that there are with a kind of server.
func checksOf(kind string) []check {
	d := dialectOf(kind)
	all := []check{
		{
			name:   "types",
			schema: []string{d.hotTable},
			config: `{table: hot, fields: {"*": {}MORE}}`,
			make:   []string{d.rows(1, 60)},
			change: []string{
				"UPDATE hot SET name = NULL, amount = -0.10 WHERE id < 10",
				"UPDATE hot SET id = id + 10000 WHERE id BETWEEN 20 AND 30",
				"DELETE FROM hot WHERE id BETWEEN 40 AND 50",
				"INSERT INTO hot (id, body) VALUES (40, 'a row that came back')",
				"BEGIN", "UPDATE hot SET body = 'never'", "ROLLBACK",
			},
			again: []string{"UPDATE hot SET counter = counter + 1, flag = NULL WHERE id < 30", "DELETE FROM hot WHERE id > 10025", d.rows(70, 75)},
			want:  strings.Replace(d.documents, "'body', body", "'body', bodyMORE", 1),
		},
		{
			name:   "where",
			schema: []string{"CREATE TABLE sold (id int PRIMARY KEY, state varchar(10), n int)"},
			config: `{table: sold, where: state == "open" && n > 0, fields: {n: {}MORE}}`,
			make:   []string{"INSERT INTO sold VALUES (1, 'open', 1), (2, 'open', 2), (3, 'shut', 3), (4, NULL, 4), (5, 'open', 0), (6, 'open', NULL)"},
			change: []string{"UPDATE sold SET state = 'shut' WHERE id = 1", "UPDATE sold SET state = 'open', n = 30 WHERE id = 3", "UPDATE sold SET n = 5 WHERE id = 5"},
			again:  []string{"UPDATE sold SET n = -n WHERE id = 2", "DELETE FROM sold WHERE id = 5", "UPDATE sold SET state = 'open' WHERE id IN (1, 4)"},
			want:   "SELECT CAST(id AS text), CAST(json_build_object('n', n MORE) AS text) FROM sold WHERE state = 'open' AND n > 0",
		},
		{
			name:   "fields",
			schema: []string{"CREATE TABLE product (id int PRIMARY KEY, name varchar(50), price int, quantity int, note varchar(50))"},
			config: `
    table: product
    fields:
      line: {template: "{{ .name | upper }}: {{ .price }}"}
      django: {template: "{{ object.name|lower }}{% if object.note %}, {{ object.note }}{% endif %}"}
      total: {expr: price * quantity, type: long}
      note: {default: none}
      omitted: {from: note, omit_null: true}
      kind: {value: product}MORE`,
			more:   "\n      half: {expr: quantity / 2, type: double}",
			added:  ", 'half', CAST(quantity AS double precision) / 2",
			make:   []string{"INSERT INTO product VALUES (1, 'Äpfel', 3, 4, 'red'), (2, 'Pears', 2, 5, NULL), (3, 'Plums', 1, 6, NULL)"},
			change: []string{"UPDATE product SET price = 7 WHERE id = 1", "UPDATE product SET note = 'new', name = 'Quinces' WHERE id = 2"},
			again:  []string{"UPDATE product SET quantity = 9 WHERE id IN (1, 2)", "DELETE FROM product WHERE id = 3", "INSERT INTO product VALUES (4, 'Figs', 8, 8, NULL)", "UPDATE product SET note = NULL WHERE id = 1"},
			want: `SELECT CAST(id AS text), CAST(json_build_object('line', concat(upper(name), ': ', price), 'django', concat(lower(name), ', ', note),
				'total', price * quantity, 'note', note, 'omitted', note, 'kind', 'product' MORE) AS text) FROM product WHERE note IS NOT NULL
				UNION ALL SELECT CAST(id AS text), CAST(json_build_object('line', concat(upper(name), ': ', price), 'django', lower(name),
				'total', price * quantity, 'note', 'none', 'kind', 'product' MORE) AS text) FROM product WHERE note IS NULL`,
		},
		{
			name:   "routing",
			schema: []string{"CREATE TABLE parcel (id int PRIMARY KEY, code varchar(20), owner int, n int)"},
			config: `{table: parcel, id: "p-{{ .code }}", routing: owner, settings: {number_of_shards: 3}, fields: {n: {}MORE}}`,
			make:   []string{"INSERT INTO parcel VALUES (1, 'a', 1, 1), (2, 'b', 2, 2), (3, 'c', 3, 3), (4, 'd', 4, 4), (5, 'e', 5, 5)"},
			change: []string{"UPDATE parcel SET owner = 7 WHERE id = 1", "UPDATE parcel SET code = 'x' WHERE id = 2", "DELETE FROM parcel WHERE id = 4"},
			again:  []string{"UPDATE parcel SET owner = owner + 1, n = 10 WHERE id < 4", "UPDATE parcel SET code = 'a2' WHERE id = 1", "INSERT INTO parcel VALUES (6, 'a', 9, 6)"},
			want:   "SELECT concat('p-', code, '@', owner), CAST(json_build_object('n', n MORE) AS text) FROM parcel",
		},
		{
			name:   "keys",
			schema: []string{"CREATE TABLE keyed (a varchar(20), b int, n int, PRIMARY KEY (a, b))"},
			config: `{table: keyed, fields: {n: {}MORE}}`,
			make:   []string{"INSERT INTO keyed VALUES ('x', 1, 1), ('x', 2, 2), ('y:z', 1, 3), ('y', 1, 4)"},
			change: []string{"UPDATE keyed SET b = 7 WHERE a = 'x' AND b = 1", "BEGIN", "UPDATE keyed SET a = 'tmp' WHERE a = 'y'", "UPDATE keyed SET a = 'y' WHERE a = 'y:z'", "UPDATE keyed SET a = 'y:z' WHERE a = 'tmp'", "COMMIT"},
			again:  []string{"UPDATE keyed SET b = b + 10, n = n + 1", "DELETE FROM keyed WHERE b = 12", "INSERT INTO keyed VALUES ('x', 1, 10)"},
			want:   "SELECT concat(replace(a, ':', '%3A'), ':', b), CAST(json_build_object('n', n MORE) AS text) FROM keyed",
		},
		{
			name:   "time",
			schema: []string{"CREATE TABLE post (id int PRIMARY KEY, pub_date timestamptz NULL, seen timestamptz NULL)"},
			config: `{table: post, where: pub_date <= now() && seen > now() - duration("1h"), fields: {id: {}MORE}}`,
			make: []string{`INSERT INTO post VALUES (1, now() - interval '1' day, now()), (2, now() + interval '2' second, now()), (3, now(), now() - interval '1' hour + interval '2' second),
				(4, now() + interval '1' day, now()), (5, NULL, now()), (6, now(), now() - interval '2' hour)`},
			change: []string{"UPDATE post SET pub_date = now() + interval '1' second WHERE id = 4", "UPDATE post SET seen = now() WHERE id = 6"},
			again:  []string{"UPDATE post SET seen = now() - interval '1' hour + interval '1' second WHERE id = 1", "UPDATE post SET pub_date = now() + interval '1' day WHERE id = 2", "UPDATE post SET pub_date = now() + interval '1' second WHERE id = 5"},
			want:   "SELECT CAST(id AS text), CAST(json_build_object('id', id MORE) AS text) FROM post WHERE pub_date <= now() AND seen > now() - interval '1' hour",
			later:  true,
		},
		{
			name:   "append",
			schema: []string{"CREATE TABLE press (id int PRIMARY KEY, word varchar(20))"},
			config: `{table: press, mode: append, fields: {word: {}MORE}}`,
			make:   []string{"INSERT INTO press VALUES (1, 'a'), (2, 'b'), (3, 'c')"},
			change: []string{"DELETE FROM press WHERE id = 1", "UPDATE press SET word = 'changed' WHERE id = 2", "INSERT INTO press VALUES (4, 'd')"},
			again:  []string{"UPDATE press SET word = 'again' WHERE id IN (3, 4)", "INSERT INTO press VALUES (5, 'e')"},
			want:   "SELECT CAST(id AS text), CAST(json_build_object('word', word MORE) AS text) FROM press UNION ALL SELECT '1', CAST(json_build_object('word', 'a') AS text) WHERE NOT EXISTS (SELECT 1 FROM press WHERE id = 1)",
		},
		{
			name:   "partition",
			schema: []string{"CREATE TABLE visit (id int PRIMARY KEY, at date, word varchar(20))"},
			config: `{table: visit, mode: append, partition: {by: at, every: month}, fields: {at: {}, word: {}MORE}}`,
			make:   []string{"INSERT INTO visit VALUES (1, '2024-01-05', 'a'), (2, '2024-01-31', 'b'), (3, '2024-02-29', 'c')"},
			change: []string{"UPDATE visit SET at = '2024-02-01' WHERE id = 2", "DELETE FROM visit WHERE id = 1", "INSERT INTO visit VALUES (4, '2024-03-01', 'd')"},
			again:  []string{"UPDATE visit SET word = 'again' WHERE id > 2", "UPDATE visit SET at = '2024-03-02' WHERE id = 3"},
			want: `SELECT concat(substr(replace(CAST(at AS text), '-', '.'), 1, 7), '/', id), CAST(json_build_object('at', at, 'word', word MORE) AS text) FROM visit
				UNION ALL SELECT '2024.01/1', CAST(json_build_object('at', '2024-01-05', 'word', 'a') AS text) WHERE NOT EXISTS (SELECT 1 FROM visit WHERE id = 1)`,
		},
		{
			name:   "glob",
			schema: []string{"CREATE TABLE orders_2023 (id int PRIMARY KEY, n int)", "CREATE TABLE orders_2024 (id int PRIMARY KEY, n int)"},
			config: `{table: orders_*, fields: {n: {}MORE}}`,
			make:   []string{"INSERT INTO orders_2023 VALUES (1, 1), (2, 2)", "INSERT INTO orders_2024 VALUES (1, 3), (2, 4)"},
			change: []string{"UPDATE orders_2023 SET n = 10 WHERE id = 1", "DELETE FROM orders_2024 WHERE id = 1"},
			again:  []string{"UPDATE orders_2024 SET id = 3 WHERE id = 2", "INSERT INTO orders_2023 VALUES (3, 5)", "DELETE FROM orders_2023 WHERE id = 2"},
			want: `SELECT concat('orders_2023:', id), CAST(json_build_object('n', n MORE) AS text) FROM orders_2023
				UNION ALL SELECT concat('orders_2024:', id), CAST(json_build_object('n', n MORE) AS text) FROM orders_2024`,
		},
		{
			name:   "shared",
			schema: []string{"CREATE TABLE cat (id int PRIMARY KEY, name varchar(20))", "CREATE TABLE dog (id int PRIMARY KEY, name varchar(20))"},
			config: `{table: cat, id: "cat-{{ .id }}", fields: {name: {}MORE}}
  NAME_shared_too: {index: NAME_shared, table: dog, id: "dog-{{ .id }}", fields: {name: {}}}`,
			make:   []string{"INSERT INTO cat VALUES (1, 'Tom'), (2, 'Kit')", "INSERT INTO dog VALUES (1, 'Rex'), (2, 'Bo')"},
			change: []string{"UPDATE cat SET name = 'Tim' WHERE id = 1", "DELETE FROM dog WHERE id = 1"},
			again:  []string{"DELETE FROM cat WHERE id = 2", "UPDATE dog SET id = 3 WHERE id = 2", "INSERT INTO cat VALUES (3, 'Mia')"},
			want: `SELECT concat('cat-', id), CAST(json_build_object('name', name MORE) AS text) FROM cat
				UNION ALL SELECT concat('dog-', id), CAST(json_build_object('name', name) AS text) FROM dog`,
		},
		{
			name:     "pipeline",
			schema:   []string{"CREATE TABLE piped (id int PRIMARY KEY, n int)"},
			config:   `{table: piped, pipeline: NAME, fields: {n: {}MORE}}`,
			pipeline: `{"processors": []}`, // the servers that the tests start have no processors
			make:     []string{"INSERT INTO piped VALUES (1, 1), (2, 2), (3, 3)"},
			change:   []string{"UPDATE piped SET n = 10 WHERE id = 1", "DELETE FROM piped WHERE id = 3"},
			again:    []string{"UPDATE piped SET n = n + 1 WHERE id < 3", "INSERT INTO piped VALUES (3, 30)"},
			want:     "SELECT CAST(id AS text), CAST(json_build_object('n', n MORE) AS text) FROM piped",
		},
		{
			name:   "truncate",
			schema: []string{"CREATE TABLE basket (id int PRIMARY KEY, n int)"},
			config: `{table: basket, fields: {n: {}MORE}}`,
			make:   []string{"INSERT INTO basket VALUES (1, 1), (2, 2), (3, 3)"},
			change: []string{"BEGIN", "TRUNCATE TABLE basket", "INSERT INTO basket VALUES (2, 20), (4, 40)", "COMMIT", "UPDATE basket SET n = 41 WHERE id = 4"},
			again:  []string{"TRUNCATE TABLE basket", "INSERT INTO basket VALUES (4, 400), (5, 500)", "DELETE FROM basket WHERE id = 5"},
			want:   "SELECT CAST(id AS text), CAST(json_build_object('n', n MORE) AS text) FROM basket",
			anew:   true,
		},
		{
			name:   "large",
			schema: []string{"CREATE TABLE doc (id int PRIMARY KEY, title varchar(50), body text)"},
			config: `{table: doc, fields: {title: {}, body: {}MORE}}`,
			make:   []string{"INSERT INTO doc VALUES (1, 't', repeat('x', 9000)), (2, 't', 'short'), (3, 't', repeat('y', 30000)), (4, 't', NULL)"},
			change: []string{"UPDATE doc SET title = 'changed' WHERE id IN (1, 2)", "UPDATE doc SET body = repeat('z', 20000) WHERE id = 4"},
			again:  []string{"UPDATE doc SET id = 10 WHERE id = 1", "UPDATE doc SET title = 'again' WHERE id IN (10, 3, 4)", "UPDATE doc SET body = 'short' WHERE id = 3"},
			want:   "SELECT CAST(id AS text), CAST(json_build_object('title', title, 'body', body MORE) AS text) FROM doc",
		},
		{
			name:   "joined",
			schema: relationTables(kind),
			config: strings.TrimPrefix(strings.Replace(relationIndex, "title: {}", "title: {}MORE", 1), "\n  NAME:"),
			tables: relationDeclarations,
			more:   "\n      email: author.email",
			added:  ", 'email', a.email",
			make: []string{
				"INSERT INTO country VALUES (1, 'Chad'), (2, 'Peru'), (3, 'Nowhere')", "INSERT INTO region VALUES ('a', 0, 'north'), ('a', 1, 'south')",
				"INSERT INTO person VALUES (1, 'ann', 'a@x', 1, 'a', 0), (2, 'ben', NULL, 2, 'a', 1), (3, 'gamma', 'c@x', 3, NULL, NULL), (4, 'dan', 'd@x', 1, 'a', 0)",
				"INSERT INTO category VALUES (1, 'top', NULL)", "INSERT INTO category VALUES (2, 'sub', 1)",
				"INSERT INTO note VALUES (1, 'one', 0, true, 1, 2, 2), (2, 'two', 0, true, 2, NULL, 1), (3, 'three', 0, true, 3, 1, NULL), (4, 'four', 0, false, 1, 1, 1), (5, 'five', 0, true, 4, 4, 2)",
				"INSERT INTO remark VALUES (1, 1, 2, 'first', 1, 0), (2, 1, 3, 'second', 2, 1), (3, 1, 1, 'third', 3, 2), (4, 2, 1, 'other', 1, 9)",
				"INSERT INTO tag VALUES (1, 'red'), (2, 'beta'), (3, 'blue')", "INSERT INTO note_tag VALUES (1, 1, 1), (2, 1, 3), (4, 2, 2), (6, 5, 3)",
			},
			change: []string{
				"UPDATE person SET name = 'anna' WHERE id = 1", "UPDATE country SET name = 'Togo' WHERE id = 3", "UPDATE region SET name = 'far north' WHERE number = 0",
				"DELETE FROM note_tag WHERE note_id = 1 AND tag_id = 1", "UPDATE remark SET note_id = 2, hidden = 0 WHERE id = 1", "UPDATE category SET name = 'upper' WHERE id = 1",
				"UPDATE note SET author_id = 2 WHERE id = 5", "BEGIN", "UPDATE person SET name = 'never'", "ROLLBACK",
			},
			again: []string{
				"UPDATE person SET name = 'benno', email = 'b@x' WHERE id = 2", "UPDATE country SET name = 'Nowhere' WHERE id = 1", "UPDATE note SET published = true WHERE id = 4",
				"DELETE FROM remark WHERE id = 2", "INSERT INTO remark VALUES (5, 5, 2, 'late', 1, 0)", "UPDATE tag SET name = 'azure' WHERE id = 3", "INSERT INTO note_tag VALUES (8, 2, 3)",
				"DELETE FROM note WHERE id = 3", "INSERT INTO note VALUES (6, 'six', 0, true, 2, NULL, NULL)",
			},
			want: strings.Replace(relationDocuments(kind), "n.title,", "n.title MORE,", 1),
		},
		{
			name: "emptied",
			schema: []string{
				"CREATE TABLE writer (id int PRIMARY KEY, name varchar(20))", "CREATE TABLE letter (id int PRIMARY KEY, title varchar(20), writer_id int)",
				"CREATE TABLE stamp (id int PRIMARY KEY, word varchar(20))", "CREATE TABLE letter_stamp (letter_id int, stamp_id int, PRIMARY KEY (letter_id, stamp_id))",
			},
			config: `{table: letter, fields: {title: {}, writer: writer.name, stamps: stamps.wordMORE}}`,
			tables: `
  letter:
    relations:
      writer: {table: writer, column: writer_id}
      stamps: {table: stamp, through: letter_stamp, column: letter_id, target_column: stamp_id, many: true, order_by: [word]}`,
			make: []string{
				"INSERT INTO writer VALUES (1, 'ann'), (2, 'ben')", "INSERT INTO letter VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 1)",
				"INSERT INTO stamp VALUES (1, 'red'), (2, 'blue')", "INSERT INTO letter_stamp VALUES (1, 1), (1, 2), (2, 2)",
			},
			change: []string{"TRUNCATE TABLE letter_stamp", "INSERT INTO letter_stamp VALUES (3, 2)", "TRUNCATE TABLE writer", "INSERT INTO writer VALUES (2, 'bob')"},
			again:  []string{"TRUNCATE TABLE stamp", "INSERT INTO stamp VALUES (2, 'green')", "TRUNCATE TABLE letter", "INSERT INTO letter VALUES (3, 'back', 2)"},
			want: `SELECT CAST(l.id AS text), CAST(json_build_object('title', l.title, 'writer', w.name, 'stamps', ` + stamps(kind) + ` MORE) AS text)
				FROM letter l LEFT JOIN writer w ON w.id = l.writer_id`,
			anew: true,
		},
		{
			name:   "events",
			schema: []string{"CREATE TABLE pushed (id int PRIMARY KEY, n int)"},
			config: `{events: {}, fields: {n: {type: long}MORE}}`,
			make:   []string{"INSERT INTO pushed VALUES (1, 1)"},
			change: []string{"INSERT INTO pushed VALUES (2, 2), (3, 3)", "UPDATE pushed SET n = 10 WHERE id = 1"},
			again:  []string{"INSERT INTO pushed VALUES (4, 4)", "UPDATE pushed SET n = 20 WHERE id = 2"},
			pushed: "SELECT CAST(json_build_object('id', CAST(id AS text), 'created', '2026-01-02T03:04:05Z', 'n', n) AS text) FROM pushed ORDER BY id",
			want:   "SELECT CAST(id AS text), CAST(json_build_object('id', CAST(id AS text), 'created', '2026-01-02T03:04:05Z', 'n', n MORE) AS text) FROM pushed",
		},
		messages(kind),
	}
	for i := range all {
		all[i].translate(kind)
	}
	return all
}

// messages are events in the log: PostgreSQL's messages, or the rows of a table that stores nothing.
func messages(kind string) check {
	c := check{
		name:     "messages",
		schema:   []string{"CREATE TABLE ledger (id varchar(20) PRIMARY KEY)"},
		want:     "SELECT id, CAST(json_build_object('id', id, 'created', '2026-01-02T03:04:05Z', 'n', 7) AS text) FROM ledger",
		config:   "{events: {}, fields: {n: {type: long}}}",
		unstored: true,
	}
	emit := `SELECT pg_logical_emit_message(true, 'haystream.NAME_messages', '{"id": "%s", "created": "2026-01-02T03:04:05Z", "n": 7}')`
	if kind != servers.Postgres {
		c.schema = append(c.schema, "CREATE TABLE haystream_event (id varchar(20) PRIMARY KEY, name varchar(100), created timestamp(6) NULL, body JSON NOT NULL) ENGINE=BLACKHOLE")
		c.config = `{table: haystream_event, mode: append, where: name == "pressed", fields: {id: {}, created: {}, n: {from: body.n, type: long}}}`
		emit = `INSERT INTO haystream_event VALUES ('%s', 'pressed', '2026-01-02 03:04:05', '{"n": 7}')`
	}
	for _, step := range []struct {
		to  *[]string
		ids []string
	}{{&c.change, []string{"a", "b"}}, {&c.again, []string{"c"}}} {
		for _, id := range step.ids {
			*step.to = append(*step.to, "BEGIN", fmt.Sprintf("INSERT INTO ledger VALUES ('%s')", id), fmt.Sprintf(emit, id), "COMMIT",
				"BEGIN", fmt.Sprintf(emit, "never"), "ROLLBACK")
		}
	}
	return c
}

// stamps is SQL for the words of a letter's stamps.
func stamps(kind string) string {
	const from = " FROM letter_stamp ls JOIN stamp s ON s.id = ls.stamp_id WHERE ls.letter_id = l.id"
	if kind == servers.Postgres {
		return "coalesce((SELECT json_agg(s.word ORDER BY s.word)" + from + "), '[]')"
	}
	return "JSON_EXTRACT(CONCAT('[', COALESCE((SELECT GROUP_CONCAT(JSON_QUOTE(s.word) ORDER BY s.word SEPARATOR ',')" + from + "), ''), ']'), '$')"
}

// translate puts the check into a kind's words.
func (c *check) translate(kind string) {
	if c.more == "" && strings.Contains(c.config, "MORE") {
		c.more, c.added = ", more: {value: 7}", ", 'more', 7"
	}
	if kind == servers.Postgres {
		return
	}
	words := strings.NewReplacer("json_build_object", "JSON_OBJECT", " AS text)", " AS char)", "timestamptz", "timestamp(6)", "now()", "now(6)", "double precision", "double")
	for _, statements := range [][]string{c.schema, c.make, c.change, c.again} {
		for i, s := range statements {
			statements[i] = words.Replace(s)
		}
	}
	c.want, c.added, c.pushed = words.Replace(c.want), words.Replace(c.added), words.Replace(c.pushed)
	c.schema = slices.Clone(c.schema)
}
