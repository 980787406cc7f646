package endtoend

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"haystream/internal/servers"
)

// TestNameThatMeansAnotherTable: a table without a schema in the configuration
// means one for good. When that is gone, one of its name elsewhere, such as
// another tenant's, is not taken for it: what depends on it is held up, by name,
// and the rest goes on.
func TestNameThatMeansAnotherTable(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		other := "other_tenant"
		create := "CREATE SCHEMA " + other
		if w.server.Kind != servers.Postgres {
			other = w.name + "_other"
			create = "CREATE DATABASE " + other
		}
		w.exec("CREATE TABLE label (id int PRIMARY KEY, name varchar(50))", "INSERT INTO label VALUES (1, 'ours')",
			"CREATE TABLE note (id int PRIMARY KEY, title varchar(50))", "INSERT INTO note VALUES (1, 'note')",
			create, fmt.Sprintf("CREATE TABLE %s.label (id int PRIMARY KEY, name varchar(50))", other), fmt.Sprintf("INSERT INTO %s.label VALUES (1, 'theirs'), (2, 'theirs')", other))
		w.config("\n  NAME:\n    table: label\n    fields: {name: {}}\n  NAME-notes:\n    table: note\n    fields: {title: {}}\n" +
			"  NAME-joined:\n    table: note\n    fields: {title: {}, labels: labels.name}\n" +
			"  NAME-computed:\n    table: note\n    fields: {title: {}, all: {}}\n" +
			"tables:\n  note: {relations: {labels: {table: label, column: id, many: true}}, computed: {all: \"{{ range .labels }}{{ .name }}{{ end }}\"}}\n")
		w.start()
		w.settle()
		w.exec("ALTER TABLE label RENAME TO label_old")
		w.eventually("the indexes are held up, by name", func() bool {
			code, body := w.get(fmt.Sprintf("http://127.0.0.1:%d/readyz", w.port))
			return code == http.StatusServiceUnavailable && strings.Contains(string(body), "index "+w.name+" is held up") && strings.Contains(string(body), "label") &&
				strings.Contains(string(body), "index "+w.name+"-joined is held up") && strings.Contains(string(body), "index "+w.name+"-computed is held up") &&
				!strings.Contains(string(body), "index "+w.name+"-notes is held up")
		})
		if _, body := w.get(w.readyURL()); strings.Contains(string(body), "no column") {
			t.Errorf("/readyz says what follows, too: %s", body)
		}
		if code, body := w.get(fmt.Sprintf("http://127.0.0.1:%d/healthz", w.port)); code != http.StatusServiceUnavailable {
			t.Errorf("/healthz answers %d %s", code, body)
		}
		w.exec("UPDATE note SET title = 'changed'")
		w.eventually("the other index goes on", func() bool {
			_, body := w.get(w.search.URL + "/" + w.name + "-notes/_doc/1")
			return strings.Contains(string(body), "changed")
		})
		w.kill()
		w.start() // the same configuration has worked before
		w.exec("UPDATE note SET title = 'changed again'")
		w.eventually("the other index goes on after a restart", func() bool {
			_, body := w.get(w.search.URL + "/" + w.name + "-notes/_doc/1")
			return strings.Contains(string(body), "changed again")
		})
		if got := w.document("1"); got["name"] != "ours" {
			t.Errorf("the document says %v", got)
		}
		w.exec("INSERT INTO label_old VALUES (3, 'meanwhile')", "ALTER TABLE label_old RENAME TO label")
		w.eventually("the daemon is ready once the table is back", w.ready)
		w.settle()
		if got := w.document("3"); got["name"] != "meanwhile" {
			t.Errorf("what was written meanwhile is %v", got)
		}
	})
}

// TestIndexesThatCannotBeMade: one that the sink does not take, and one whose
// table may not be read, hold up nothing else, from the first start on.
func TestIndexesThatCannotBeMade(t *testing.T) {
	w := newWorld(t)
	role := w.name + "_reader"
	var columns strings.Builder
	for i := range 600 {
		fmt.Fprintf(&columns, ", c%d text", i)
	}
	w.exec("CREATE TABLE note (id int PRIMARY KEY, title varchar(50))", "INSERT INTO note VALUES (1, 'note')",
		"CREATE TABLE secret (id int PRIMARY KEY, title varchar(50))", "INSERT INTO secret VALUES (1, 'secret')",
		"CREATE TABLE wide (id int PRIMARY KEY"+columns.String()+")", "INSERT INTO wide (id, c1) VALUES (1, 'wide')",
		"CREATE ROLE "+role+" LOGIN REPLICATION", "GRANT SELECT ON note, wide TO "+role,
		"CREATE PUBLICATION haystream_"+w.name+" FOR TABLE note, secret, wide")
	w.url = strings.Replace(w.url, "postgres://postgres@", "postgres://"+role+"@", 1)
	w.config("\n  NAME:\n    table: note\n    fields: {title: {}}\n  NAME-secret:\n    table: secret\n    fields: {title: {}}\n  NAME-wide:\n    table: wide\n    fields: \"*\"\n")
	w.start()
	why := func() string {
		_, body := w.get(fmt.Sprintf("http://127.0.0.1:%d/readyz", w.port))
		return string(body)
	}
	w.eventually("both are named, with what mends them", func() bool {
		text := why()
		return strings.Contains(text, "index "+w.name+"-secret is held up") && strings.Contains(text, "GRANT SELECT") &&
			strings.Contains(text, "index "+w.name+"-wide is held up") && strings.Contains(text, "total_fields.limit")
	})
	w.exec("UPDATE note SET title = 'changed'")
	w.eventually("the other one goes on", func() bool { return w.document("1")["title"] == "changed" })
	w.exec("GRANT SELECT ON secret TO " + role)
	w.eventually("the one that may be read again is read, and only the other is named", func() bool {
		_, body := w.get(w.search.URL + "/" + w.name + "-secret/_doc/1")
		text := why()
		return strings.Contains(string(body), `"secret"`) && !strings.Contains(text, "secret") && strings.Contains(text, w.name+"-wide")
	})
}

// TestIndexThatTheSinkRefuses: an index that the check lets pass and the sink does
// not make, as of a cluster that is full, does not disturb the others.
func TestIndexThatTheSinkRefuses(t *testing.T) {
	w := worldOn(t, postgres.Get(t), search.Get(t))
	limit := func(shards string) {
		if code, body := w.request(http.MethodPut, w.search.URL+"/_cluster/settings", `{"persistent":{"cluster.max_shards_per_node":`+shards+`}}`); code != http.StatusOK {
			t.Fatalf("%d %s", code, body)
		}
	}
	const one = "\n  NAME:\n    table: one\n    fields: {name: {}}\n"
	w.exec("CREATE TABLE one (id int PRIMARY KEY, name text)", "INSERT INTO one VALUES (1, 'one')", "CREATE TABLE two (id int PRIMARY KEY)")
	w.config(one)
	w.start()
	w.settle()
	w.stop()
	limit("1")
	defer limit("null")
	w.config(one + "  NAME-two:\n    table: two\n    fields: {id: {}}\n")
	w.start()
	w.eventually("the index is held up", func() bool {
		_, body := w.get(w.readyURL())
		return strings.Contains(string(body), "index "+w.name+"-two is held up")
	})
	for n := range 3 { // so many times the checkpoint is saved, and looked whether that is mended
		w.exec(fmt.Sprintf("UPDATE one SET name = 'changed %d'", n))
		end := w.logEnd()
		w.eventually("the other one goes on", func() bool { return w.passed(end) })
	}
	if n := w.log.count(`"replicating `); n != 2 {
		t.Errorf("%d sessions have begun, want one for each start", n)
	}
}
