package elasticsearch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"

	"haystream/sinks"
)

// A fake answers bulk requests as a server does, as far as versions, aliases
// and sizes go, and answers whatever a test wants instead. It is for answers
// that a real server cannot be made to give.
type fake struct {
	*httptest.Server

	// spoil may answer a bulk request itself: it returns true when it has.
	// before is the number of earlier requests.
	spoil func(before int, w http.ResponseWriter, r *http.Request, actions []fakeAction) bool

	// judge may refuse an action: it returns the item's status and the rest of it.
	judge func(before int, a fakeAction) (status int, rest string)

	mu       sync.Mutex
	requests int
	versions map[string]int64 // by index and id
	bodies   map[string]string
	applied  []string // "id@version", in order
	letters  bool     // the index of dead letters exists
}

type fakeAction struct {
	Op, Index, ID string
	Version       int64
	Body          string
}

func newFake(t *testing.T) *fake {
	f := &fake{versions: map[string]int64{}, bodies: map[string]string{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	body, err := readBody(r)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	case r.URL.Path == "/_bulk":
		f.bulk(w, r, parseActions(body))
	case r.URL.Path == "/"+lettersIndex && r.Method == http.MethodPut:
		f.mu.Lock()
		f.letters = true
		f.mu.Unlock()
		_, _ = w.Write([]byte(`{}`))
	default: // nothing else exists yet
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error":{"type":"index_not_found_exception","reason":"no such index"},"status":404}`))
	}
}

func readBody(r *http.Request) ([]byte, error) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, err
		}
		body = unpacked
	}
	return io.ReadAll(body)
}

func parseActions(body []byte) (actions []fakeAction) {
	lines := bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	for len(lines) > 0 {
		var line map[string]struct {
			Index   string `json:"_index"`
			ID      string `json:"_id"`
			Version int64
		}
		if err := json.Unmarshal(lines[0], &line); err != nil {
			return append(actions, fakeAction{Op: "broken", Body: string(lines[0])})
		}
		lines = lines[1:]
		for op, a := range line {
			action := fakeAction{Op: op, Index: a.Index, ID: a.ID, Version: a.Version}
			if op == "index" {
				action.Body = string(lines[0])
				lines = lines[1:]
			}
			actions = append(actions, action)
		}
	}
	return actions
}

// filtered is an item with the members alone that a request's filter_path names.
func filtered(r *http.Request, item string) string {
	paths := r.URL.Query().Get("filter_path")
	var all map[string]json.RawMessage
	if paths == "" || json.Unmarshal([]byte(item), &all) != nil {
		return item
	}
	kept := map[string]json.RawMessage{}
	for path := range strings.SplitSeq(paths, ",") {
		member, _, _ := strings.Cut(strings.TrimPrefix(path, "items.*."), ".")
		if value, there := all[member]; there {
			kept[member] = value
		}
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return item
	}
	return string(text)
}

func (f *fake) bulk(w http.ResponseWriter, r *http.Request, actions []fakeAction) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.requests
	f.requests++
	if f.spoil != nil && f.spoil(before, w, r, actions) {
		return
	}
	items := make([]string, len(actions))
	for i, a := range actions {
		items[i] = fmt.Sprintf(`{%q:%s}`, a.Op, filtered(r, f.apply(before, a)))
	}
	_, _ = fmt.Fprintf(w, `{"took":1,"items":[%s]}`, strings.Join(items, ","))
}

// apply does one action and returns its item.
func (f *fake) apply(before int, a fakeAction) string {
	if f.judge != nil {
		if status, rest := f.judge(before, a); status != 0 {
			return fmt.Sprintf(`{"status":%d,%s}`, status, rest)
		}
	}
	if a.Index == sinks.WriteAlias(lettersIndex) && !f.letters {
		return `{"status":404,"error":{"type":"index_not_found_exception","reason":"no such index"}}`
	}
	key := a.Index + "/" + a.ID
	if f.versions[key] > a.Version {
		return `{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"version conflict"}}`
	}
	f.versions[key] = a.Version
	f.applied = append(f.applied, fmt.Sprintf("%s@%d", a.ID, a.Version))
	if a.Op == "delete" {
		delete(f.bodies, key)
		return `{"status":200}`
	}
	f.bodies[key] = a.Body
	return `{"status":201}`
}

// problem is the rest of an item that holds an error.
func problem(typ string) string { return fmt.Sprintf(`"error":{"type":%q,"reason":"because"}`, typ) }

// lettersOf returns the dead letters by document id.
func (f *fake) lettersOf(t *testing.T) map[string]fakeLetter {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := map[string]fakeLetter{}
	for key, body := range f.bodies {
		if !strings.HasPrefix(key, sinks.WriteAlias(lettersIndex)) {
			continue
		}
		var l struct {
			fakeLetter
			ID string `json:"doc_id"`
		}
		if err := json.Unmarshal([]byte(body), &l); err != nil {
			t.Fatal(err)
		}
		found[l.ID] = l.fakeLetter
	}
	return found
}

type fakeLetter struct {
	Type string `json:"type"`
	Body string `json:"body"`
}
