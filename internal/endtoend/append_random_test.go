package endtoend

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haystream/internal/seeds"
)

// A forever is a table whose documents must all stay, whatever becomes of its definition.
type forever struct {
	*world
	random *rand.Rand
	next   int
	keys   map[string]bool // of all rows that were there, each for a moment at least

	index, fields, id, where, extra string // of the definition
	mirror                          bool
}

// A foreverChange is what becomes of a definition, or of what it depends on, while the daemon is down.
type foreverChange struct {
	name   string
	change func(*forever)

	missed  bool // rows that come and go until the daemon goes on are not seen
	mirrors bool // or have no document
}

var foreverChanges = []foreverChange{
	{name: "a field more", change: func(f *forever) { f.fields = "name: {type: keyword}, num: {}, again: name" }},
	{name: "a field less", change: func(f *forever) { f.fields = "name: {type: keyword}" }},
	{name: "another name of a field", change: func(f *forever) { f.fields = "label: {from: name, type: keyword}, num: {}" }},
	{name: "another type", change: func(f *forever) { f.fields = "name: {type: text}, num: {type: keyword}" }},
	{name: "a type that some do not fit", change: func(f *forever) { f.fields = "name: {type: integer}, num: {}" }},
	{name: "a setting", change: func(f *forever) {
		f.fields, f.extra = "name: {type: keyword}, num: {}", "settings: {refresh_interval: 3s}"
	}},
	{name: "another layout", change: func(f *forever) {
		f.fields, f.extra = "name: {type: keyword}, num: {}", "settings: {number_of_shards: 3}"
	}},
	{name: "an analyzer", change: func(f *forever) {
		f.extra = "settings: {analysis: {analyzer: {own: {type: custom, tokenizer: standard}}}}"
		f.fields = "name: {type: text, mapping: {analyzer: own}}, num: {}"
	}},
	{name: "a pipeline", change: func(f *forever) {
		f.request(http.MethodPut, f.search.URL+"/_ingest/pipeline/"+f.name, `{"processors":[]}`)
		f.fields, f.extra = "name: {type: keyword}, num: {}", "pipeline: NAME"
	}},
	{name: "other ids", change: func(f *forever) { f.id = `"other-{{ .id }}"` }},
	{name: "a condition", change: func(f *forever) { f.where = "num >= 0" }},
	{name: "routing", change: func(f *forever) { f.fields, f.extra = "name: {type: keyword}, num: {}", "routing: num" }},
	{name: "another alias", change: func(f *forever) { f.index = f.other() }},
	{name: "the mode goes and comes back", change: func(f *forever) {
		f.mirror = true
		f.configure()
		f.start()
		f.settle()
		f.stop()
		f.mirror = false
	}, mirrors: true},
	{name: "the checkpoint is lost", change: func(f *forever) {
		f.request(http.MethodDelete, f.search.URL+"/haystream-checkpoints/_doc/"+f.name, "")
	}, missed: true},
	{name: "the state is lost", change: func(f *forever) { _ = os.RemoveAll(filepath.Join(f.dir, "state")) }},
	{name: "the slot is lost", change: func(f *forever) { f.loseLog() }, missed: true},
	{name: "the table is emptied", change: func(f *forever) { f.exec("TRUNCATE press") }},
	{name: "the table is made anew", change: func(f *forever) { f.exec("DROP TABLE press", pressTable) }, missed: true}, // the new one is published once the daemon has seen it
	{name: "nothing", change: func(*forever) {}},
}

const pressTable = "CREATE TABLE press (id int PRIMARY KEY, name text, num int, row_key text)"

// TestAppendForever changes a definition again and again, under writes and kills. Rows come
// and go all the time, and each has a document in the end, or a dead letter that holds it.
func TestAppendForever(t *testing.T) {
	for _, seed := range seeds.Of(t, 2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			f := &forever{
				world: newWorld(t), random: rand.New(rand.NewPCG(seed, 0)), keys: map[string]bool{},
				fields: "name: {type: keyword}, num: {}",
			}
			f.index, f.refuses = f.name, true
			f.exec(pressTable)
			f.burst(true)
			f.configure()
			f.start()
			f.settle()
			for range 10 {
				f.step(foreverChanges[f.random.IntN(len(foreverChanges))])
			}
			f.compareKeys()
		})
	}
}

// other is the alias that is not in use.
func (f *forever) other() string {
	if f.index == f.name {
		return f.name + "-too"
	}
	return f.name
}

func (f *forever) configure() {
	mode := "mode: append"
	if f.mirror {
		mode = ""
	}
	lines := []string{mode, f.extra}
	for key, value := range map[string]string{"id": f.id, "where": f.where} {
		if value != "" {
			lines = append(lines, key+": "+value)
		}
	}
	f.config("  presses:\n    index: " + f.index + "\n    table: press\n    fields: {row_key: {type: keyword}, " + f.fields + "}\n    " + strings.Join(lines, "\n    ") + "\n")
}

// burst inserts rows, and deletes most of them again unless they stay.
func (f *forever) burst(stay bool) {
	f.t.Helper()
	var rows []string
	for range 3 + f.random.IntN(20) {
		name := fmt.Sprint(f.next)
		if f.random.IntN(10) == 0 {
			name = "no number"
		}
		key := fmt.Sprintf("k%d", f.next)
		rows = append(rows, fmt.Sprintf("(%d, '%s', %d, '%s')", f.next, name, f.random.IntN(5), key))
		f.keys[key] = true
		f.next++
	}
	f.exec("INSERT INTO press VALUES " + strings.Join(rows, ", "))
	if !stay {
		f.exec(fmt.Sprintf("DELETE FROM press WHERE id %% 3 > 0 AND id >= %d", f.next-len(rows)))
	}
}

// step makes one change, with writes before, in the middle, and after, and kills.
func (f *forever) step(c foreverChange) {
	f.t.Helper()
	f.t.Logf("%s", c.name)
	f.burst(false)
	if f.random.IntN(2) == 0 || c.missed || c.mirrors {
		f.settle()
		f.stop()
	} else {
		f.kill()
	}
	if !c.missed && !c.mirrors {
		f.burst(false)
	}
	if f.random.IntN(3) == 0 {
		f.fields, f.extra, f.id, f.where = "name: {type: keyword}, num: {}", "", "", ""
	}
	c.change(f)
	f.configure()
	if c.missed {
		f.start()
		f.settle()
		f.kill()
	}
	moments := []string{"replicating", "index created", "copying documents of rows that are gone", "reading the tables again", "index loaded", "takes in the documents"}
	for range f.random.IntN(3) {
		moment := moments[f.random.IntN(len(moments))]
		before := f.log.len()
		f.start()
		f.burst(false)
		end := f.logEnd()
		f.eventually("it says "+moment+", or is through", func() bool {
			return strings.Contains(f.log.from(before), moment) || f.passed(end) && f.ready()
		})
		f.kill()
		f.burst(false)
	}
	f.start()
	f.burst(false)
	f.settle()
	f.compareKeys()
}

// compareKeys waits until every row that there was has its document.
func (f *forever) compareKeys() {
	f.t.Helper()
	told := ""
	f.eventually("all documents are there", func() bool {
		have := map[string]bool{}
		for _, documents := range f.everything(f.index) {
			for _, document := range documents {
				f.note(have, document)
			}
		}
		for _, letter := range f.letters() {
			f.note(have, []byte(letter.Body))
		}
		var lacking []string
		for _, key := range slices.Sorted(maps.Keys(f.keys)) {
			if !have[key] {
				lacking = append(lacking, key)
			}
		}
		if text := fmt.Sprint(lacking); text != told && len(lacking) > 0 {
			f.t.Logf("%d of %d rows have no document: %s", len(lacking), len(f.keys), text)
			told = text
		}
		return len(lacking) == 0
	})
}

func (f *forever) note(have map[string]bool, document []byte) {
	var fields struct {
		Key string `json:"row_key"`
	}
	if json.Unmarshal(document, &fields) == nil {
		have[fields.Key] = true
	}
}
