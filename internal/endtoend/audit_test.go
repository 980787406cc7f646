package endtoend

import (
	"cmp"
	"encoding/json"
	"net/http"
	"reflect"

	"haystream/internal/audit"
	"haystream/replicator/config"
	"haystream/sinks/deadletters"
)

// audit stops a daemon that is well, and compares what it has come to with the
// tables: every stored row, every document. It runs at the end of each test, so
// that a state which a test does not look at cannot stay unseen.
func (w *world) audit() {
	if w.daemon == nil || w.t.Failed() || !w.ready() {
		return
	}
	if w.db.PingContext(w.ctx) != nil { // it was opened for the test's own end
		w.db, _ = w.dialect.open(w.t, w.server.URL, w.name)
	}
	w.settle()
	if w.stop(); w.t.Failed() {
		return
	}
	cfg, _, err := config.Load(w.path())
	if err != nil {
		w.t.Errorf("load the config for the audit: %v", err)
		return
	}
	if cfg = cfg.Part(false); cfg == nil || len(cfg.Indexes) == 0 { // events are in no database to compare with
		return
	}
	found, err := audit.Run(w.ctx, cfg)
	if err != nil {
		w.t.Errorf("audit: %v", err)
		return
	}
	for _, fault := range found.Faults {
		w.t.Error("audit: " + fault)
	}
	appending := map[string]bool{}
	for name, d := range cfg.Indexes {
		if d != nil && d.Mode == "append" {
			appending[cmp.Or(d.Index, name)] = true
		}
	}
	var letters []deadletters.Letter
	if w.refuses {
		letters = w.letters()
	}
	for alias, want := range found.Documents {
		w.t.Logf("audit: %d documents of %s", len(want), alias)
		w.auditDocuments(alias, want, letters, appending[alias])
	}
}

// auditDocuments compares the documents of an alias, but those that letters tell of: the index may have an earlier
// state of them, or none. more: it may have others.
func (w *world) auditDocuments(alias string, want map[string]json.RawMessage, letters []deadletters.Letter, more bool) {
	have := w.documentsOf(alias)
	for _, letter := range letters {
		if letter.Index == alias {
			delete(want, letter.DocID)
			delete(have, letter.DocID)
		}
	}
	for id, document := range want {
		got, ok := have[id]
		delete(have, id)
		switch {
		case !ok:
			w.t.Errorf("audit: document %s is missing from %s", id, alias)
		case !reflect.DeepEqual(canonical(w, got), canonical(w, document)):
			w.t.Errorf("audit: document %s of %s differs\n is %s\nnot %s", id, alias, got, document)
		}
	}
	for id := range have {
		if !more {
			w.t.Errorf("audit: document %s of %s has no row", id, alias)
		}
	}
}

// letterOf is the dead letter of a document of the only index, empty where there is none.
func (w *world) letterOf(id string) deadletters.Letter {
	w.t.Helper()
	physical := w.physical()
	for _, letter := range w.letters() {
		if letter.Physical == physical && letter.DocID == id {
			return letter
		}
	}
	return deadletters.Letter{}
}

// letters are the pipeline's dead letters.
func (w *world) letters() (all []deadletters.Letter) {
	w.t.Helper()
	w.request(http.MethodPost, w.search.URL+"/haystream-dead-letters/_refresh", "")
	_, body := w.get(w.search.URL + "/haystream-dead-letters/_search?size=10000&q=owner:" + w.name)
	var page struct {
		Hits struct {
			Hits []struct {
				Source deadletters.Letter `json:"_source"`
			} `json:"hits"`
		} `json:"hits"`
	}
	_ = json.Unmarshal(body, &page)
	for _, hit := range page.Hits.Hits {
		all = append(all, hit.Source)
	}
	return all
}
