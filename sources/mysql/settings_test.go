package mysql

import (
	"testing"

	"haystream/internal/servers"
	"haystream/sources"
)

// What a session leaves out of its images is missing, and never NULL.
func TestPartialImages(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE t (id INT PRIMARY KEY, a INT, b TEXT)")
		r.prepare("t")
		tail := r.stream(r.start)
		writer := r.session()
		r.on(writer, "SET SESSION binlog_row_image = MINIMAL", "INSERT INTO t (id, a) VALUES (1, 1)", "UPDATE t SET a = 2", "UPDATE t SET id = 2",
			"SET SESSION binlog_row_image = NOBLOB", "UPDATE t SET a = 3", "DELETE FROM t")
		want := []string{"insert t (1,1,MISSING)", "update t (1) to (1,2,MISSING)", "update t (1) to (2,MISSING,MISSING)", "update t (2) to (2,3,MISSING)", "delete t (2)"}
		tail.expect(want...)
		if r.ask("SELECT @@version LIKE '11.%'") == "1" {
			r.on(writer, "SET SESSION binlog_row_image = FULL_NODUP", "INSERT INTO t VALUES (3, 1, 'b')", "UPDATE t SET a = NULL", "UPDATE t SET id = 4, b = 'c'")
			tail.expect("insert t (3,1,b)", "update t (3) to (3,NULL,b)", "update t (3) to (4,NULL,c)")
		}
	})
}

// Parts of JSON values are refused, with the setting to change: in the log, and
// before it has them where all sessions write them.
func TestPartialJSON(t *testing.T) {
	for _, shared := range fleet {
		if shared.Spec.Kind != servers.MySQL {
			continue
		}
		r := newRig(newBox(t, shared.Get(t).URL), rigName(t)+shared.Spec.Version[:1])
		r.exec("CREATE TABLE t (id INT PRIMARY KEY, j JSON)", "INSERT INTO t VALUES (1, '{\"a\": 1, \"b\": \"long enough to be worth it\"}')")
		r.prepare("t")
		tail := r.stream(r.start)
		r.on(r.session(), "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'", "UPDATE t SET j = JSON_SET(j, '$.a', 2)")
		tail.fails(sources.ErrPositionLost, "binlog_row_value_options")
		r.set("binlog_row_value_options", "PARTIAL_JSON")
		r.refuses(r.start, sources.ErrConfig, "binlog_row_value_options")
	}
}
