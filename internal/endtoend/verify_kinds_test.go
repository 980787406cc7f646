package endtoend

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestVerifyKinds plants differences in the documents of every check of the matrix: each is found, and repaired.
func TestVerifyKinds(t *testing.T) {
	for _, server := range databases() {
		t.Run(server.Spec.Kind+server.Spec.Version, func(t *testing.T) {
			t.Parallel()
			m := newTrial(t, &scenario{name: "calm", stays: true}, server)
			m.begin()
			m.settle()
			m.change()
			if !m.validate("before") {
				return
			}
			want := map[string][]string{}
			for _, c := range m.checks {
				alias := m.name + "_" + c.name
				if c.later || c.unstored || strings.Contains(c.config, "events: {}") {
					continue
				}
				want[alias] = m.spoil(alias, strings.Contains(c.config, "mode: append"), c.pipeline != "")
			}
			for _, option := range []string{"--rate=100000", "--repair"} {
				reports, _ := m.verify(option)
				for alias, planted := range want {
					f := reports[alias]
					var found []string
					for _, d := range f.List {
						found = append(found, d.Kind+" "+d.ID)
						if option == "--repair" && !d.Repaired {
							t.Errorf("%s: %s %s is not repaired", alias, d.Kind, d.ID)
						}
					}
					if slices.Sort(found); !slices.Equal(found, planted) || f.State != "done" {
						t.Errorf("%s: verify %s finds %.200q, planted are %.200q", alias, option, found, planted)
					}
				}
			}
			m.validate("after")
		})
	}
}

// spoil changes documents by hand: one is missing, one has no field, and others are there that no row gives, also at ids and
// routings that no row could have. It returns what is to be found.
func (w *world) spoil(alias string, appends, piped bool) (planted []string) {
	w.t.Helper()
	var all []hit
	for h := range w.eachHit(alias) {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b hit) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Routing, b.Routing)) })
	if len(all) < 2 {
		w.t.Fatalf("%s has %d documents", alias, len(all))
	}
	at := func(h hit) string {
		path := w.search.URL + "/" + h.Index + "/_doc/" + url.PathEscape(h.ID)
		if h.Routing != "" {
			path += "?routing=" + url.QueryEscape(h.Routing)
		}
		return path
	}
	last := all[len(all)-1]
	if code, answer := w.request(http.MethodDelete, at(last), ""); code != http.StatusOK {
		w.t.Fatalf("delete of %s of %s is answered %d %s", last.ID, alias, code, answer)
	}
	planted = append(planted, "missing "+last.ID)
	if appends {
		return planted
	}
	put := func(h hit, body string) {
		if code, answer := w.request(http.MethodPut, at(h), body); code/100 != 2 {
			w.t.Fatalf("put %s into %s is answered %d %s", h.ID, alias, code, answer)
		}
	}
	if !piped {
		put(all[0], "{}")
		planted = append(planted, "different "+all[0].ID)
	}
	for _, h := range []hit{{ID: "ä/?&%3A: \"x\""}, {ID: " "}, {ID: strings.Repeat("é", 256)}, {ID: "with", Routing: "another"}, {ID: all[0].ID + "\n"}} {
		h.Index = all[0].Index
		put(h, string(all[0].Source))
		planted = append(planted, "extra "+h.ID)
	}
	slices.Sort(planted)
	return planted
}
