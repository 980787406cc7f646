package endtoend

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"testing"

	"haystream/internal/servers"
)

// TestMemoryOfLargeRows: a row costs a multiple of its size beside the limit, when
// it is read from the table and when it comes in the log.
func TestMemoryOfLargeRows(t *testing.T) {
	all := []*servers.Shared{mysqls[0], &postgres, marias[0]}
	const keyword = "{type: keyword, mapping: {index: false, doc_values: false}}"
	for _, c := range []struct {
		name, fields string
		times        int
		databases    []*servers.Shared
	}{
		{"flat", "n: {}, body: " + keyword + ", title: {from: n}", 4, all[1:2]},
		{"stored", "n: {}, body: " + keyword + ", name: author.name", 6, all[:1]},
	} {
		if os.Getenv("HAYSTREAM_TEST_VERSIONS") == "all" {
			c.databases = all
		}
		for _, server := range c.databases {
			t.Run(c.name+"/"+server.Spec.Kind, func(t *testing.T) { // one after the other: two at once make garbage faster than it is collected
				testLargeRows(t, server.Get(t), c.fields, c.times)
			})
		}
	}
}

func testLargeRows(t *testing.T, server *servers.Server, fields string, times int) {
	const limit, row = 96 << 20, 8 << 20
	w := worldOn(t, server, search.Get(t))
	// Text that hardly compresses.
	body, text := "SELECT string_agg(md5(n::text || random()), '') FROM generate_series(1, 262144) n", "text"
	if server.Kind != servers.Postgres {
		digits := "(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7)"
		w.exec("CREATE TABLE numbers (n int)", "INSERT INTO numbers SELECT a.d FROM "+digits+" a, "+digits+" b, "+digits+" c, "+digits+" d, "+digits+" e, "+digits+" f")
		body, text = "SELECT GROUP_CONCAT(MD5(CONCAT(n, RAND())) SEPARATOR '') FROM numbers", "longtext"
	}
	write := func(statement string) {
		if server.Kind != servers.Postgres {
			w.exec("SET SESSION group_concat_max_len = 9000000", statement)
			return
		}
		w.exec(statement)
	}
	add := func(id int) { write(fmt.Sprintf("INSERT INTO large VALUES (%d, 1, (%s), 1)", id, body)) }
	w.exec("CREATE TABLE author (id int PRIMARY KEY, name varchar(20))", "INSERT INTO author VALUES (1, 'a')",
		"CREATE TABLE large (id int PRIMARY KEY, author_id int, body "+text+", n int, FOREIGN KEY (author_id) REFERENCES author (id))")
	add(1)
	w.config("  NAME: {table: large, fields: {" + fields + "}}\n")
	w.start()
	w.eventually("the daemon is ready", w.ready)
	loaded := w.resident("VmHWM:")
	for n := range 4 {
		add(2 + n)
	}
	w.settle()
	if n := len(w.documents()); n != 5 {
		t.Fatalf("%d documents", n)
	}
	highest := w.resident("VmHWM:")
	t.Logf("loaded %d MiB, highest %d MiB", loaded>>20, highest>>20)
	if highest > limit+times*row {
		t.Errorf("the daemon took %d MiB", highest>>20)
	}
}

// resident is the daemon's memory, as the kernel counts it.
func (w *world) resident(what string) int {
	w.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.daemon.Process.Pid))
	if err != nil {
		w.t.Fatal(err)
	}
	_, after, _ := bytes.Cut(text, []byte(what))
	kib, err := strconv.Atoi(string(bytes.Fields(after)[0]))
	if err != nil {
		w.t.Fatal(err)
	}
	return kib << 10
}
