package endtoend

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestPartitionsAndPublication: partitions that come and go with rows, and a
// publication that somebody else alters, on PostgreSQL. The daemon's role owns
// nothing, and may read the tables, not their partitions.
func TestPartitionsAndPublication(t *testing.T) {
	w := newWorld(t)
	guest := w.name + "_guest"
	w.exec("CREATE TABLE event (id int PRIMARY KEY, owner int, body text) PARTITION BY RANGE (id)",
		"CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM (0) TO (10)", "CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM (10) TO (20)",
		"CREATE TABLE owner (id int PRIMARY KEY, name text)",
		"INSERT INTO owner VALUES (1, 'ann'), (2, 'ben')", "INSERT INTO event VALUES (1, 1, 'a'), (2, 2, 'b'), (11, 1, 'c')",
		"CREATE ROLE "+guest+" LOGIN REPLICATION", "GRANT SELECT ON event, owner TO "+guest, "CREATE PUBLICATION haystream_"+w.name+" FOR TABLE ONLY event, ONLY owner")
	w.url = strings.Replace(w.url, "postgres://postgres@", "postgres://"+guest+"@", 1)
	w.config(`
  flat:
    index: NAME-flat
    table: event
    fields: {body: {}}
  joined:
    index: NAME-joined
    table: owner
    fields: {name: {}, events: events.body}
tables:
  owner: {relations: {events: {table: event, column: owner, many: true, order_by: [id]}}}
`)
	alter := "ALTER PUBLICATION haystream_" + w.name
	const filled = "CREATE TABLE %s (id int PRIMARY KEY, owner int, body text); INSERT INTO %[1]s VALUES (%d, 1, '%[1]s')"
	tests := []struct {
		name    string
		exec    []string
		rebuilt string // the indexes that are built anew
		down    bool
		says    string   // the daemon, until the statements below are run
		mend    []string // it
	}{
		{name: "an empty one attached, and filled", exec: []string{"CREATE TABLE event_3 (LIKE event INCLUDING ALL)", "ALTER TABLE event ATTACH PARTITION event_3 FOR VALUES FROM (20) TO (30)", "INSERT INTO event VALUES (20, 1, 'd')"}},
		{name: "one made, and filled, while down", down: true, exec: []string{"CREATE TABLE event_4 PARTITION OF event FOR VALUES FROM (30) TO (40)", "INSERT INTO event VALUES (30, 1, 'e')"}},
		{name: "an empty one attached, and filled, while down", down: true, exec: []string{"CREATE TABLE event_5 (LIKE event INCLUDING ALL)", "ALTER TABLE event ATTACH PARTITION event_5 FOR VALUES FROM (40) TO (50)", "INSERT INTO event VALUES (40, 2, 'f')"}},
		{name: "a filled one attached", exec: []string{fmt.Sprintf(filled, "event_6", 50), "ALTER TABLE event ATTACH PARTITION event_6 FOR VALUES FROM (50) TO (60)"}, rebuilt: "flat joined"},
		{name: "a filled one attached while down", down: true, exec: []string{fmt.Sprintf(filled, "event_7", 60), "ALTER TABLE event ATTACH PARTITION event_7 FOR VALUES FROM (60) TO (70)"}, rebuilt: "flat joined"},
		{name: "one detached", exec: []string{"ALTER TABLE event DETACH PARTITION event_7"}, rebuilt: "flat joined"},
		{name: "one dropped while down", down: true, exec: []string{"DROP TABLE event_6"}, rebuilt: "flat joined"},
		{name: "one truncated", exec: []string{"TRUNCATE event_2"}, rebuilt: "flat joined"},
		{name: "files and names of partitions", exec: []string{"VACUUM FULL event_1", "ALTER TABLE event_3 RENAME TO event_three"}},
		{
			name: "a table unpublished", rebuilt: "flat joined",
			exec: []string{alter + " DROP TABLE event", "INSERT INTO event VALUES (3, 1, 'missed')"},
			says: `SET TABLE ONLY "public"."event"`, mend: []string{alter + " ADD TABLE ONLY event"},
		},
		{
			name: "a table unpublished and published while down", rebuilt: "flat joined", down: true,
			exec: []string{alter + " DROP TABLE event", "INSERT INTO event VALUES (4, 1, 'missed too')", alter + " ADD TABLE ONLY event"},
		},
		{
			name: "a column list", rebuilt: "joined",
			exec: []string{alter + " SET TABLE ONLY event, ONLY owner (id)", "UPDATE owner SET name = 'unseen'"},
			says: `SET TABLE ONLY "public"."event"`, mend: []string{alter + " SET TABLE ONLY event, ONLY owner"},
		},
		{
			name: "a row filter", rebuilt: "joined",
			exec: []string{alter + " SET TABLE ONLY event, ONLY owner WHERE (id > 100)", "DELETE FROM owner WHERE id = 2"},
			says: `SET TABLE ONLY "public"."event"`, mend: []string{alter + " SET TABLE ONLY event, ONLY owner"},
		},
		{
			name: "inserts only", rebuilt: "flat joined",
			exec: []string{alter + " SET (publish = 'insert')", "UPDATE event SET body = 'unseen again' WHERE id = 1"},
			says: "publish = 'insert, update, delete, truncate'", mend: []string{alter + " SET (publish = 'insert, update, delete, truncate')"},
		},
		{name: "another table published", exec: []string{"CREATE TABLE more (id int PRIMARY KEY)", alter + " ADD TABLE more"}},
	}
	w.start()
	w.settle()
	for n, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			outer := w.t
			w.t = t
			defer func() { w.t = outer }()
			physical := func() map[string]string {
				return map[string]string{"flat": w.physicalOf(w.name + "-flat"), "joined": w.physicalOf(w.name + "-joined")}
			}
			before := physical()
			if test.down {
				w.stop()
			}
			for _, statements := range test.exec {
				w.exec(strings.Split(statements, ";")...)
			}
			if test.down {
				w.start()
			}
			if test.says != "" {
				w.eventually("readiness and health say what mends it", func() bool {
					code, body := w.get(w.readyURL())
					healthy, _ := w.get(strings.Replace(w.readyURL(), "readyz", "healthz", 1))
					return code == http.StatusServiceUnavailable && healthy == http.StatusServiceUnavailable && strings.Contains(string(body), test.says)
				})
			}
			w.exec(test.mend...)
			w.eventually("the indexes are built anew", func() bool {
				now := physical()
				return !slices.ContainsFunc(strings.Fields(test.rebuilt), func(index string) bool { return now[index] == before[index] })
			})
			w.settle()
			w.eventsHold()
			w.exec(fmt.Sprintf("INSERT INTO event VALUES (0, 2, 'after %d') ON CONFLICT (id) DO UPDATE SET body = EXCLUDED.body", n))
			w.settle()
			w.eventsHold()
			for index, now := range physical() {
				if now != before[index] && !strings.Contains(test.rebuilt, index) {
					t.Errorf("index %s was built anew", index)
				}
			}
		})
		if t.Failed() {
			return
		}
	}
}

// eventsHold compares the documents with what plain SQL says.
func (w *world) eventsHold() {
	w.t.Helper()
	flat, joined := map[string]string{}, map[string]string{}
	w.each("SELECT id, json_build_object('body', body) FROM event", func(v []any) { flat[fmt.Sprint(v[0])] = fmt.Sprint(v[1]) })
	w.each("SELECT o.id, o.name, (SELECT json_agg(body ORDER BY id) FROM event e WHERE e.owner = o.id) FROM owner o", func(v []any) {
		events := "[]"
		if v[2] != nil {
			events = fmt.Sprint(v[2])
		}
		name, err := json.Marshal(v[1])
		if err != nil {
			w.t.Fatal(err)
		}
		joined[fmt.Sprint(v[0])] = fmt.Sprintf(`{"name":%s,"events":%s}`, name, events)
	})
	w.compareWith(w.name+"-flat", flat)
	w.compareWith(w.name+"-joined", joined)
}
