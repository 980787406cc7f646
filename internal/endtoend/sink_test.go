package endtoend

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const sinkIndexes = writtenIndex + `
  NAME-flat:
    table: note
    fields: {title: {}}
` + writtenRelations

const flatDocuments = `SELECT id::text, json_build_object('title', title)::text FROM note`

// ask sends a request to the sink, which must do it.
func (w *world) ask(method, path, body string) {
	w.t.Helper()
	if code, answer := w.request(method, w.search.URL+path, body); code/100 != 2 {
		w.t.Fatalf("%s %s: %d %s", method, path, code, answer)
	}
}

// aliases changes aliases by hand.
func (w *world) aliases(actions string) {
	w.t.Helper()
	w.ask(http.MethodPost, "/_aliases", `{"actions":[`+actions+`]}`)
}

// notReady is what /readyz says; empty while it is 200.
func (w *world) notReady() string {
	code, body := w.get(fmt.Sprintf("http://127.0.0.1:%d/readyz", w.port))
	if code == http.StatusOK {
		return ""
	}
	return string(body)
}

// TestSinkChangedByHand does to indexes, flat and joined, what people do to them while
// the daemon runs: one thing to each at the same time, so that one index that a
// person must mend holds up no other. No write tells of it.
func TestSinkChangedByHand(t *testing.T) {
	w := newWorld(t)
	foreign := w.name + "-theirs"
	w.ask(http.MethodPut, "/"+foreign, `{"mappings":{"dynamic":false}}`)
	write := func(p string) string { return p + "-write" }
	alias := func(op, index, name string) string {
		return fmt.Sprintf(`{%q:{"index":%q,"alias":%q}}`, op, index, name)
	}
	cases := []struct {
		name    string
		spoil   func(name, physical string)
		rebuilt bool
		held    bool                        // once there are writes, until mend
		says    string                      // in the log, beside the index's name
		waits   string                      // what /readyz says until mend
		mend    func(name, physical string) // what a person does; nil where nothing
	}{
		{
			name: "deleted", rebuilt: true, says: "somebody has deleted it",
			spoil: func(_, p string) { w.ask(http.MethodDelete, "/"+p, "") },
		},
		{
			name: "replaced", rebuilt: true, says: "replaced by another one of that name",
			spoil: func(_, p string) {
				w.ask(http.MethodDelete, "/"+p, "")
				w.ask(http.MethodPut, "/"+p, `{"aliases":{"`+write(p)+`":{}},"mappings":{"_meta":{"haystream":{"owner":"`+w.name+`"}}}}`)
			},
		},
		{
			name: "unwritten", says: "was removed or shared by hand; it is set right",
			spoil: func(_, p string) { w.aliases(alias("remove", p, write(p))) },
		},
		{
			name: "astray", rebuilt: true, says: "pointed to " + foreign,
			spoil: func(_, p string) { w.aliases(alias("remove", p, write(p)) + "," + alias("add", foreign, write(p))) },
		},
		{
			name: "unseen", says: "it is set right",
			spoil: func(name, p string) { w.aliases(alias("remove", p, name)) },
		},
		{
			name: "filtered", says: "it is set right",
			spoil: func(name, p string) {
				w.aliases(fmt.Sprintf(`{"add":{"index":%q,"alias":%q,"filter":{"term":{"title":"x"}}}}`, p, name))
			},
		},
		{
			name: "taken", waits: `{"remove":{"index":"` + foreign + `"`,
			spoil: func(name, p string) { w.aliases(alias("remove", p, name) + "," + alias("add", foreign, name)) },
			mend:  func(name, _ string) { w.aliases(alias("remove", foreign, name)) },
		},
		{
			name: "usurped", rebuilt: true, waits: "the alias of that name cannot be made",
			spoil: func(name, p string) {
				w.ask(http.MethodDelete, "/"+p, "")
				w.ask(http.MethodPut, "/"+name, "")
			},
			mend: func(name, _ string) { w.ask(http.MethodDelete, "/"+name, "") },
		},
		{
			name: "closed", rebuilt: true, held: true, waits: "the index is closed; open it with POST",
			spoil: func(_, p string) { w.ask(http.MethodPost, "/"+p+"/_close", "") },
			mend:  func(_, p string) { w.ask(http.MethodPost, "/"+p+"/_open", "") },
		},
		{
			name: "frozen", rebuilt: true, held: true, waits: "index.blocks.read_only",
			spoil: func(_, p string) { w.ask(http.MethodPut, "/"+p+"/_settings", `{"index.blocks.read_only":true}`) },
			mend: func(_, p string) {
				w.ask(http.MethodPut, "/"+p+"/_settings", `{"index.blocks.write":null,"index.blocks.read_only":null,"index.blocks.read_only_allow_delete":null}`)
			},
		},
	}
	definitions, documents := "\n", make([]string, len(cases))
	for i, c := range cases {
		fields, columns := "{title: {}}", "'title', title"
		if i%2 == 0 {
			fields, columns = "{title: {}, author: author.name}", "'title', title, 'author', name"
		}
		definitions += fmt.Sprintf("  NAME-%s: {table: note, fields: %s}\n", c.name, fields)
		documents[i] = "SELECT note.id::text, json_build_object(" + columns + ")::text FROM note LEFT JOIN author a ON a.id = author_id"
	}
	w.exec(writtenTables(10, 100)...)
	w.config(definitions + writtenRelations)
	w.start()
	w.eventually("the daemon is ready", w.ready)
	w.settle()
	before := map[string]string{}
	from := w.log.len()
	for _, c := range cases {
		before[c.name] = w.physicalOf(w.name + "-" + c.name)
		c.spoil(w.name+"-"+c.name, before[c.name])
	}
	for _, c := range cases {
		w.within(20*time.Second, c.name+" is said", func() bool {
			if c.waits != "" {
				return strings.Contains(w.notReady(), c.waits)
			}
			return slices.ContainsFunc(strings.Split(w.log.from(from), "\n"), func(line string) bool {
				return strings.Contains(line, w.name+"-"+c.name) && strings.Contains(line, c.says)
			})
		})
	}
	for _, c := range cases {
		if c.mend != nil {
			continue
		}
		name := w.name + "-" + c.name
		w.within(20*time.Second, c.name+": its alias leads to its index", func() bool {
			p := w.physicalOf(name)
			return p != "" && p != foreign && (p != before[c.name]) == c.rebuilt
		})
		w.within(20*time.Second, c.name+" has all rows, though other indexes wait for a person", func() bool { return len(w.documentsOf(name)) == 100 })
	}
	w.exec("UPDATE note SET title = 'written' WHERE id % 7 = 1", "UPDATE author SET name = 'renamed' WHERE id = 3")
	for i, c := range cases {
		switch name := w.name + "-" + c.name; {
		case c.held:
			w.within(40*time.Second, c.name+" is held up", func() bool { return strings.Contains(w.notReady(), "index "+name+" is held up: ") })
		case c.mend == nil:
			w.within(40*time.Second, c.name+" has what was written, though other indexes wait for a person", func() bool {
				return w.sameIn(name, documents[i])
			})
		}
	}
	w.exec("DELETE FROM note WHERE id = 2")
	for _, c := range cases {
		if c.mend != nil {
			c.mend(w.name+"-"+c.name, before[c.name])
		}
	}
	w.within(20*time.Second, "nothing is held up any more", func() bool { return !strings.Contains(w.notReady(), "is held up") })
	w.settle()
	for i, c := range cases {
		name := w.name + "-" + c.name
		w.compareIn(name, documents[i])
		if p := w.physicalOf(name); p == foreign || (p != before[c.name]) != c.rebuilt {
			t.Errorf("%s: the alias leads to %s, and before to %s", c.name, p, before[c.name])
		}
	}
	if code, body := w.get(w.search.URL + "/" + foreign + "/_count"); code != http.StatusOK {
		t.Errorf("the foreign index: %d %s", code, body)
	}
}

// TestCheckpointChangedByHand, while the daemon runs and while it is down.
func TestCheckpointChangedByHand(t *testing.T) {
	w := newWorld(t)
	w.exec(writtenTables(10, 300)...)
	w.config(sinkIndexes)
	w.start()
	w.eventually("the daemon is ready", w.ready)
	w.settle()
	document := "/haystream-checkpoints/_doc/" + w.name
	var good struct {
		Source json.RawMessage `json:"_source"`
	}
	if _, body := w.get(w.search.URL + document); json.Unmarshal(body, &good) != nil {
		t.Fatalf("no checkpoint: %s", body)
	}
	before := w.physical()
	for what, spoil := range map[string]func(){
		"was deleted":          func() { w.ask(http.MethodDelete, document, "") },
		"deleted":              func() { w.ask(http.MethodDelete, "/haystream-checkpoints", "") },
		"damaged":              func() { w.ask(http.MethodPut, document, `{"data":"{\"format\":1"}`) },
		"damaged: it has no f": func() { w.ask(http.MethodPut, document, `{"data":["what"]}`) },
		"put back to an earli": func() { w.ask(http.MethodPut, document, string(good.Source)) },
	} {
		from := w.log.len()
		spoil()
		w.exec("UPDATE note SET title = title || '.' WHERE id < 50")
		w.within(20*time.Second, what+" is said", func() bool { return strings.Contains(w.log.from(from), what) })
		w.settle()
		if since := w.log.from(from); strings.Contains(since, "standing by") || strings.Contains(since, "another daemon of") {
			t.Errorf("%s: logged %s", what, since)
		}
	}
	w.compare(writtenDocuments)
	if w.physical() != before {
		t.Error("an index was rebuilt for a checkpoint that the daemon knew")
	}
	for n, c := range []string{`{"data":"no JSON"}`, `{"data":17}`} {
		before := w.physical()
		w.stop()
		w.ask(http.MethodPut, document, c)
		w.exec(fmt.Sprintf("DELETE FROM note WHERE id = %d", 100+n), "UPDATE author SET name = name || '!'")
		check := w.command("check")
		if err := check.Run(); err == nil || !w.log.contains("put back one that haystream has saved") {
			t.Errorf("%s: check says %v", c, err)
		}
		w.start()
		w.within(20*time.Second, "a fresh index serves", func() bool { p := w.physical(); return p != "" && p != before })
		w.settle()
		w.compareIn(w.name, writtenDocuments)
		w.compareIn(w.name+"-flat", flatDocuments)
		w.eventually("the replaced index is dropped", func() bool { return !w.indexExists(before) })
	}
	w.stop()
	newer := `{"data":"{\"format\":99,\"name\":[]}"}`
	w.ask(http.MethodPut, document, newer)
	w.start()
	if err := w.daemon.Wait(); err == nil || !w.log.contains("newer version of haystream") {
		t.Errorf("over a newer checkpoint: %v", err)
	}
	w.daemon = nil
	if _, body := w.get(w.search.URL + strings.Replace(document, "_doc", "_source", 1)); string(body) != newer {
		t.Errorf("the newer checkpoint became %s", body)
	}
}
