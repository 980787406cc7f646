package endtoend

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"haystream/internal/servers"
)

// TestOtherTablesAfterAKill: the daemon is killed while its row store is ahead of
// the checkpoint, and goes on without a definition whose changes were numbered
// before. What was not stored yet is not taken for what was. MariaDB's commit
// times can be set, so that the numbers are known: each follows the one before.
func TestOtherTablesAfterAKill(t *testing.T) {
	es := servers.Test(t, search.Spec)
	w := worldOn(t, marias[len(marias)-1].Get(t), es)
	w.exec("CREATE TABLE author (id int PRIMARY KEY, name varchar(50))", "INSERT INTO author VALUES (1, 'a'), (2, 'b')",
		"CREATE TABLE note (id int PRIMARY KEY, title varchar(50), author_id int)", "INSERT INTO note VALUES (1, 'x', 1), (2, 'y', 2)",
		"CREATE TABLE other (id int PRIMARY KEY, n int)", "INSERT INTO other VALUES (1, 0)")
	joined := "\n  NAME:\n    table: note\n    fields: {title: {}, author: author.name}\n"
	relations := "tables:\n  note:\n    relations:\n      author: {table: author, column: author_id}\n"
	w.config(joined + "  NAME-other:\n    table: other\n    fields: {n: {}}\n" + relations)
	w.start()
	w.eventually("the daemon is ready", w.ready)
	w.settle()
	if err := es.Kill(); err != nil {
		t.Fatal(err)
	}
	const long = "SET timestamp = 1000000000"
	read := func(changes float64) {
		w.eventually(fmt.Sprintf("%v changes were read", changes), func() bool {
			source, _ := w.status()["source"].(map[string]any)
			return source["changes"] == changes
		})
	}
	for n := range 50 {
		w.exec(long, fmt.Sprintf("UPDATE other SET n = %d", 1+n))
	}
	w.exec(long, "UPDATE author SET name = 'stored' WHERE id = 1")
	read(51)
	w.exec(long, "UPDATE other SET n = 0")
	read(52) // after those before are in the store
	failed := func() int {
		_, metrics := w.get(fmt.Sprintf("http://127.0.0.1:%d/metrics", w.port))
		_, after, _ := strings.Cut(string(metrics), "\nhaystream_checkpoint_failures_total ")
		n, _ := strconv.Atoi(strings.Fields(after + " 0")[0])
		return n
	}
	already := failed()
	w.eventually("the store was synced, for a checkpoint that could not be saved", func() bool { return failed() > already+1 })
	w.kill()
	w.exec(long, "UPDATE author SET name = 'not stored' WHERE id = 2")
	if err := es.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.config(joined + relations)
	w.start()
	w.eventually("the daemon is ready", w.ready)
	w.settle()
	w.compare("SELECT n.id, json_object('title', n.title, 'author', a.name) FROM note n JOIN author a ON a.id = n.author_id")
	if !w.log.contains("other tables are in use since") {
		t.Error("the log does not say why the row store is begun anew")
	}
}
