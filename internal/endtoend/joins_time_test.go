package endtoend

import (
	"testing"
	"time"
)

// TestTimeComes: a row enters when its time comes, and another one leaves, with
// nothing written to the database; also where the time comes while the daemon is down.
func TestTimeComes(t *testing.T) {
	w := newWorld(t)
	w.exec("CREATE TABLE post (id int PRIMARY KEY, pub_date timestamptz, seen timestamptz)",
		`INSERT INTO post VALUES (1, now() - interval '1 day', now()), (2, now() + interval '4 s', now()), (3, now(), now() - interval '1 hour' + interval '4 s'),
			(4, now() + interval '1 day', now()), (5, NULL, now()), (6, now(), now() - interval '2 hours')`)
	w.config("\n  NAME:\n    table: post\n    where: pub_date <= now() && seen > now() - duration(\"1h\")\n    fields: {id: {}}\n")
	const wanted = "SELECT id::text, json_build_object('id', id)::text FROM post WHERE pub_date <= now() AND seen > now() - interval '1 hour'"
	w.start()
	w.eventually("the daemon is ready", w.ready)
	w.settle()
	if w.document("2") != nil {
		t.Error("document 2 is before its time")
	}
	w.within(10*time.Second, "2 enters", func() bool { return w.document("2") != nil })
	w.within(10*time.Second, "3 leaves", func() bool { return w.document("3") == nil })
	w.compare(wanted)
	w.exec("UPDATE post SET pub_date = now() + interval '3 s' WHERE id = 4", "UPDATE post SET seen = now() - interval '1 hour' + interval '3 s' WHERE id = 2")
	w.settle()
	w.kill()
	w.exec("SELECT pg_sleep(3)")
	w.start()
	w.within(10*time.Second, "4 enters", func() bool { return w.document("4") != nil })
	w.within(10*time.Second, "2 leaves", func() bool { return w.document("2") == nil })
	w.settle()
	w.compare(wanted)
}
