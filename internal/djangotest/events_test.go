package djangotest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haystream/internal/servers"
)

// TestBusinessMetric pushes by the database's log, then by HTTP: what is committed is in the index,
// and nothing of views that fail, or of what they take back.
func TestBusinessMetric(t *testing.T) {
	for _, s := range setups() {
		t.Run(s.spec.Kind, func(t *testing.T) {
			w := newSite(t, s)
			w.writeEventsConfig()
			w.env = append(w.env, fmt.Sprintf(`PROJECT_HAYSTREAM={"ELASTICSEARCH": %q}`, w.search.URL))
			logged := "business_metric"
			if w.kind != servers.Postgres {
				logged = "pressed"
				w.manage("press", "--table")
			}
			w.check()
			w.start()
			w.pressed(logged)
			w.env = append(w.env, fmt.Sprintf(`PROJECT_HAYSTREAM={"URL": "http://127.0.0.1:%d", "ELASTICSEARCH": %q}`, w.port, w.search.URL))
			w.pressed("business_metric")
		})
	}
}

// writeEventsConfig has definitions over events, and on MySQL over the table.
func (w *site) writeEventsConfig() {
	w.t.Helper()
	table := ""
	if w.kind != servers.Postgres {
		for _, name := range []string{"business_metric", "another"} {
			alias := map[string]string{"business_metric": "pressed", "another": "another-pressed"}[name]
			table += fmt.Sprintf("  %s-%s:\n    table: haystream_event\n    mode: append\n    where: name == %q\n    fields: {id: {}, created: {}, action: {from: body.action, type: keyword}, user: {from: body.user, type: keyword}}\n",
				alias, w.kind, name)
		}
	}
	for _, name := range []string{"business_metric", "another"} {
		table += fmt.Sprintf("  %s-%s:\n    events: {name: %s}\n    fields: {action: {type: keyword}, user: {type: keyword}}\n", name, w.kind, name)
	}
	text := fmt.Sprintf("name: %s\nsource: {url: %q}\nsink:\n  elasticsearch: {flavor: opensearch, addresses: [%s]}\nhttp: {listen: 127.0.0.1:%d}\nstate: {path: %q}\nindexes:\n%s",
		w.alias, w.databaseURL(), w.search.URL, w.port, filepath.Join(w.dir, "state"), table)
	if err := os.WriteFile(w.config(), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// databaseURL is what the project has.
func (w *site) databaseURL() string {
	for _, pair := range w.env {
		if url, found := strings.CutPrefix(pair, "PROJECT_DATABASE="); found {
			return url
		}
	}
	return ""
}

// pressed runs the command that pushes, and compares what comes of it into the indexes of some name.
func (w *site) pressed(index string) {
	w.t.Helper()
	index += "-" + w.kind
	other := map[bool]string{true: "another-pressed-" + w.kind, false: "another-" + w.kind}[strings.HasPrefix(index, "pressed")]
	before := len(w.documents(index))
	id := strings.TrimSpace(w.manage("press"))
	w.eventually("the events are in "+index, func() string {
		if n := len(w.documents(index)); n < before+2 || len(w.documents(other)) == 0 {
			return fmt.Sprintf("%d documents, before %d, %d of the other", n, before, len(w.documents(other)))
		}
		return ""
	})
	var actions []string
	documents := w.documents(index)
	for _, d := range documents {
		actions = append(actions, d["action"].(string))
		if d["created"] == nil || d["id"] == nil {
			w.t.Errorf("an event is %v", d)
		}
	}
	slices.Sort(actions)
	actions = slices.Compact(actions)
	if !slices.Equal(actions, []string{"kept", "outside"}) || documents[id]["action"] != "outside" || w.documents(other)["given"]["action"] != "outside" {
		w.t.Errorf("%s has %v, the event %s is %v, the other index %v", index, actions, id, documents[id], w.documents(other))
	}
	if found := strings.TrimSpace(w.manage("press", "--search", index)); !strings.HasPrefix(found, "Zoë") {
		w.t.Errorf("a search finds %q", found)
	}
}
