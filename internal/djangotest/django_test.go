package djangotest

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// models are those that are compared.
var models = []string{"library.book", "library.branch", "library.genre", "library.person", "library.publisher", "library.review"}

// A difference is what the daemon writes in another way than django-haystack: a model's documents, a field of them (model.field), or
// the mapping of a field (mapping.field).
type difference struct {
	what   string
	kind   string // of the database; empty: all
	reason string
}

// differences are those that are known. One that is gone fails the test, so that it is taken out here.
var differences = []difference{
	{"mapping.id", "", "a keyword can be sorted by; haystack leaves it to the server's guess"},
	{"library.book.mood", "", "what Python computes is left to a person"},
	{"library.branch.location", "", "an expression prints a whole float without the .0 that Python has"},
}

// known returns what is different on the site's database, with the reasons.
func (w *site) known() map[string]string {
	found := map[string]string{}
	for _, d := range differences {
		if d.kind == "" || d.kind == w.kind {
			found[d.what] = d.reason
		}
	}
	return found
}

// TestDocumentsAreHaystacks lets Django's ORM write while the daemon loads, follows and sees migrations, and compares what it wrote
// with what django-haystack writes of the same rows.
func TestDocumentsAreHaystacks(t *testing.T) {
	for _, s := range setups() {
		t.Run(s.spec.Kind, func(t *testing.T) {
			w := newSite(t, s)
			w.manage("migrate", "library", "0001", "-v0")
			w.manage("populate")
			w.writeConfig(models)
			w.check()
			done := w.background("populate", "--change")
			w.start()
			done()
			w.compare()
			w.ask()
			w.stillDifferent()
			w.writesRefused()

			w.manage("write", "--seed", "1", "--migrate", "0002", "0003", "0004")
			w.compare()
			w.renameUsedColumn()
			w.compare()
		})
	}
}

// renameUsedColumn renames a column that documents are made of: the daemon says so, and goes on with a config that has the new name.
func (w *site) renameUsedColumn() {
	w.t.Helper()
	w.env = append(w.env, "PROJECT_SUMMARY_COLUMN=blurb")
	w.manage("migrate", "library", "0005", "-v0")
	w.manage("write", "--seed", "2")
	w.eventually("the daemon tells of the renamed column", func() string {
		if log := w.log.tail(1 << 20); !strings.Contains(log, `no column \"summary\"`) {
			return "not in the log"
		}
		return ""
	})
	w.stop()
	w.writeConfig(models)
	w.check()
	w.start()
}

// writesRefused lets django-haystack clear the daemon's alias and write to it, which the server refuses.
func (w *site) writesRefused() {
	w.t.Helper()
	before := w.documents(w.alias)
	for _, command := range [][]string{{"clear_index", "--noinput"}, {"rebuild_index", "--noinput"}, {"update_index"}} {
		if output, err := w.project(append(command, "--using", "default")...).CombinedOutput(); err == nil {
			w.t.Errorf("%s is not refused: %s", command[0], output)
		}
	}
	if after := w.documents(w.alias); !reflect.DeepEqual(before, after) {
		w.t.Error("django-haystack has changed the daemon's documents")
	}
}

// compare has django-haystack fill its own index anew, and waits until mapping, ids and documents of both are equal but for what is known.
func (w *site) compare() {
	w.t.Helper()
	w.manage("rebuild_index", "--noinput", "-v0", "--using", "haystack")
	theirs := w.documents(w.haystack)
	maps.DeleteFunc(theirs, func(_ string, document map[string]any) bool { return !slices.Contains(models, modelOf(document)) })
	if len(theirs) == 0 {
		w.t.Fatal("django-haystack has written no documents")
	}
	known := w.known()
	w.eventually("the documents are haystack's", func() string {
		unknown, differ := compareDocuments(theirs, w.documents(w.alias), known)
		if unknown == "" {
			maps.Copy(w.differ, differ)
		}
		return unknown
	})
	mapping, ours := w.properties(w.haystack), w.properties(w.alias)
	for _, field := range slices.Sorted(maps.Keys(ours)) {
		switch name := "mapping." + field; {
		case reflect.DeepEqual(mapping[field], ours[field]):
		case known[name] != "":
			w.differ[name] = true
		default:
			w.t.Errorf("mapping of %s: haystack's is %s, ours %s", field, encoded(mapping[field]), encoded(ours[field]))
		}
	}
}

// stillDifferent looks whether all that is known to differ has differed.
func (w *site) stillDifferent() {
	w.t.Helper()
	for what, reason := range w.known() {
		if !w.differ[what] {
			w.t.Errorf("%s is not different any more (%s); take it out of the known differences", what, reason)
		}
	}
}

func modelOf(document map[string]any) string {
	model, _ := document["django_ct"].(string)
	return model
}

// compareDocuments says where documents differ for no known reason, and what of the known differs.
func compareDocuments(theirs, ours map[string]map[string]any, known map[string]string) (unknown string, differ map[string]bool) {
	var lines []string
	differ = map[string]bool{}
	tell := func(what, format string, args ...any) {
		if known[what] != "" {
			differ[what] = true
			return
		}
		lines = append(lines, fmt.Sprintf(format, args...))
	}
	for _, id := range slices.Sorted(maps.Keys(theirs)) {
		model := modelOf(theirs[id])
		if ours[id] == nil {
			tell(model, "%s is missing", id)
			continue
		}
		fields := maps.Clone(theirs[id])
		maps.Copy(fields, ours[id])
		for _, field := range slices.Sorted(maps.Keys(fields)) {
			a, had := theirs[id][field]
			b, has := ours[id][field]
			if had != has || !same(a, b) {
				tell(model+"."+field, "%s %s: haystack's is %s, ours %s", id, field, encoded(a), encoded(b))
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(ours)) {
		if theirs[id] == nil {
			tell(modelOf(ours[id]), "%s is too many", id)
		}
	}
	return strings.Join(lines[:min(len(lines), 40)], "\n"), differ
}

// same compares JSON; 3 and 3.0 are one number.
func same(a, b any) bool {
	x, number := a.(json.Number)
	y, both := b.(json.Number)
	if number && both {
		m, errM := x.Float64()
		n, errN := y.Float64()
		return errM == nil && errN == nil && m == n
	}
	return reflect.DeepEqual(a, b)
}

func encoded(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// ask compares the answers to queries.
func (w *site) ask() {
	w.t.Helper()
	known := w.known()
	asked := slices.DeleteFunc(slices.Clone(models), func(model string) bool { return known[model] != "" })
	var ours, theirs map[string]any
	for using, into := range map[string]*map[string]any{"default": &ours, "haystack": &theirs} {
		if err := json.Unmarshal([]byte(w.manage("ask", "--using", using, "--models", strings.Join(asked, ","))), into); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, question := range slices.Sorted(maps.Keys(theirs)) {
		if !reflect.DeepEqual(ours[question], theirs[question]) {
			w.t.Errorf("%s: haystack's index answers\n%s\nours\n%s", question, encoded(theirs[question]), encoded(ours[question]))
		}
	}
}
