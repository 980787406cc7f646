package endtoend

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"testing"

	"haystream/internal/servers"
)

// TestMemoryOfLargeRows: a row that is not stored costs four times its size
// beside the limit, when it is read from the table and when it comes in the log.
func TestMemoryOfLargeRows(t *testing.T) {
	const limit, row = 96 << 20, 8 << 20
	databases := []*servers.Shared{mysqls[0]}
	if os.Getenv("HAYSTREAM_TEST_VERSIONS") == "all" {
		databases = append(databases, marias[0])
	}
	for _, server := range databases {
		t.Run(server.Spec.Kind, func(t *testing.T) {
			w := worldOn(t, server.Get(t), search.Get(t))
			// Text that hardly compresses.
			digits := "(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7)"
			w.exec("CREATE TABLE numbers (n int)", "INSERT INTO numbers SELECT a.d FROM "+digits+" a, "+digits+" b, "+digits+" c, "+digits+" d, "+digits+" e, "+digits+" f")
			insert := "INSERT INTO large SELECT %d, GROUP_CONCAT(MD5(CONCAT(n, RAND())) SEPARATOR '') FROM numbers"
			add := func(id int) { w.exec("SET SESSION group_concat_max_len = 9000000", fmt.Sprintf(insert, id)) }
			w.exec("CREATE TABLE large (id int PRIMARY KEY, body longtext)")
			add(1)
			w.config("  NAME: {table: large, fields: {body: {type: keyword, mapping: {index: false, doc_values: false}}}}\n")
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
			if highest > limit+4*row {
				t.Errorf("the daemon took %d MiB", highest>>20)
			}
		})
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
