package dashboards

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"haystream/mapping"
	"haystream/replicator/widgets"
)

var update = flag.Bool("update", false, "write the files in docs/grafana anew")

// shop has every kind of panel.
const shop = `
recent:   {title: Recent notes, index: notes, query: "created:>=now-1d", compare: 1d}
revenue:  {index: notes, value: {sum: total}}
highest:  {index: notes, value: {max: total}}
middle:   {index: notes, value: {percentile: total}}
distinct: {index: notes, value: {cardinality: title}}
counted:  {index: notes, query: "author:a OR author:d", value: {count: total}}
average:  {index: notes, query: "author:a", value: {avg: total}}
dsl:      {index: notes, query: {term: {author: c}}}
dsl ago:  {index: notes, query: {range: {created: {gte: now-1d}}}, compare: 1d}
authors:  {index: notes, list: {by: author, size: 2}}
best:     {index: notes, value: {sum: total}, list: {by: author, size: 1}}
daily:    {index: notes, query: "NOT author:b", graph: {over: created, every: day, last: 3d}}
spent:    {index: notes, value: {sum: total}, graph: {over: created, every: day, last: 3d}}
`

const mappings = `{"dynamic":"strict","properties":{
	"author":{"type":"keyword"}, "created":{"type":"date"}, "edited":{"type":"date"},
	"title":{"type":"text","fields":{"keyword":{"type":"keyword"}}}, "total":{"type":"double"},
	"lines":{"type":"nested","properties":{"price":{"type":"double"},"sku":{"type":"keyword"}}}
}}`

func shopBoards(t testing.TB) *Boards {
	t.Helper()
	var set widgets.Set
	if err := yaml.Unmarshal([]byte(shop), &set); err != nil {
		t.Fatal(err)
	}
	indexes := []*mapping.Index{
		{Alias: "notes", Mappings: json.RawMessage(mappings)},
		{Alias: "plain", Mappings: json.RawMessage(`{"dynamic":"strict","properties":{"name":{"type":"keyword"}}}`)},
	}
	b, err := New("shop", indexes, set, func(definition string) string { return definition })
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTimeField(t *testing.T) {
	for fields, want := range map[string]string{
		"":                            "",
		"edited":                      "edited",
		"changed edited":              "changed",
		"a_date edited created":       "created",
		"pub_date @timestamp created": "@timestamp",
	} {
		properties := object{"name": object{"type": "keyword"}, "rows": object{"type": "nested", "properties": object{"created": object{"type": "date"}}}}
		for name := range strings.FieldsSeq(fields) {
			properties[name] = object{"type": "date"}
		}
		text, err := json.Marshal(object{"properties": properties})
		if err != nil {
			t.Fatal(err)
		}
		read, err := widgets.ReadFields(text)
		if err != nil {
			t.Fatal(err)
		}
		if is := timeField(read); is != want {
			t.Errorf("of %q: %q, want %q", fields, is, want)
		}
	}
}

// What does not fit on a dashboard is named.
func TestOmissions(t *testing.T) {
	properties := object{}
	for c := 'a'; c <= 'z'; c++ {
		properties["k"+string(c)], properties["d"+string(c)] = object{"type": "keyword"}, object{"type": "scaled_float", "scaling_factor": 100}
	}
	text, err := json.Marshal(object{"properties": properties})
	if err != nil {
		t.Fatal(err)
	}
	b, err := New("p", []*mapping.Index{{Alias: "wide", Mappings: text}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	board := b.Boards[0]
	if sums, lists := count(board, number)-1, count(board, list); sums != maxSums || lists != maxLists {
		t.Errorf("%d sums and %d lists", sums, lists)
	}
	for _, missing := range []string{"sums of di, dj", "top five of kj, kk", "columns of dk, dl"} {
		if !strings.Contains(board.Description, missing) {
			t.Errorf("%q is not said in %q", missing, board.Description)
		}
	}
}

func count(b *Board, kind string) (n int) {
	for _, p := range b.Panels {
		if p.Kind == kind {
			n++
		}
	}
	return n
}

// Panels lie on the grid and not on each other.
func TestGrid(t *testing.T) {
	for _, board := range shopBoards(t).Boards {
		for i, p := range board.Panels {
			if p.X < 0 || p.X+p.W > columns || p.H <= 0 {
				t.Errorf("%s: %s is at %d,%d and %d wide", board.Title, p.Title, p.X, p.Y, p.W)
			}
			for _, q := range board.Panels[:i] {
				if p.X < q.X+q.W && q.X < p.X+p.W && p.Y < q.Y+q.H && q.Y < p.Y+p.H {
					t.Errorf("%s: %s lies on %s", board.Title, p.Title, q.Title)
				}
			}
		}
	}
}

// The same configuration gives the same bytes; names that only look alike give other ids.
func TestStable(t *testing.T) {
	for _, target := range []string{Kibana, Kibana7} {
		first, err := shopBoards(t).File(target)
		if err != nil {
			t.Fatal(err)
		}
		second, err := shopBoards(t).File(target)
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s: another text the second time (%v)", target, err)
		}
	}
	seen := map[string]bool{}
	for _, parts := range [][]string{{"a", "b-c"}, {"a-b", "c"}, {"A", "b-c"}, {"ä", "b-c"}, {"ö", "b-c"}, {strings.Repeat("x", 300)}, {strings.Repeat("x", 301)}} {
		id := newID(parts...)
		if seen[id] || len(id) > 250 || !regexp.MustCompile(`^[a-z0-9_-]+$`).MatchString(id) {
			t.Errorf("%q has the id %s", parts, id)
		}
		seen[id] = true
		if uid := newUID(parts...); len(uid) > 40 {
			t.Errorf("%q has the uid %s", parts, uid)
		}
	}
}

// All that saved objects refer to is there, before it is referred to, and all names of references are used.
func TestReferencesAreClosed(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range shopBoards(t).savedObjects() {
		body := text(o.Attributes)
		for _, r := range o.References {
			if !seen[r.Type+" "+r.ID] {
				t.Errorf("%s %s refers to %s %s", o.Type, o.ID, r.Type, r.ID)
			}
			if !strings.Contains(body, r.Name) {
				t.Errorf("%s %s does not use its reference %s", o.Type, o.ID, r.Name)
			}
		}
		for _, used := range regexp.MustCompile(`RefName\\+":\\+"([^\\]+)`).FindAllStringSubmatch(body, -1) {
			if !slices.ContainsFunc(o.References, func(r reference) bool { return r.Name == used[1] }) {
				t.Errorf("%s %s has no reference %s", o.Type, o.ID, used[1])
			}
		}
		if seen[o.Type+" "+o.ID] {
			t.Errorf("%s %s is there twice", o.Type, o.ID)
		}
		seen[o.Type+" "+o.ID] = true
	}
}

// Titles of data views are exactly the alias: a wildcard would take in an index that is being rebuilt.
func TestDataViews(t *testing.T) {
	var titles []string
	for _, o := range shopBoards(t).savedObjects() {
		if o.Type == "index-pattern" {
			field, _ := o.Attributes["timeFieldName"].(string)
			titles = append(titles, o.Attributes["title"].(string)+" "+field)
		}
	}
	slices.Sort(titles)
	if want := []string{"notes ", "notes created", "plain "}; !slices.Equal(titles, want) {
		t.Errorf("%q, want %q", titles, want)
	}
}

// The shapes are those that the targets document. The schemas are written by hand.
func TestShapes(t *testing.T) {
	b := shopBoards(t)
	validate := func(name, at string, v any) {
		t.Helper()
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		is, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		schema, err := jsonschema.NewCompiler().Compile("testdata/" + name + ".schema.json" + at)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(is); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
	for _, o := range b.savedObjects() {
		validate("saved-objects", "", o)
		for name, at := range map[string]string{"visState": "visState", "panelsJSON": "panels", "optionsJSON": "options"} {
			if inner, ok := o.Attributes[name].(string); ok {
				validate("saved-objects", "#/$defs/"+at, json.RawMessage(inner))
			}
		}
		if meta, ok := o.Attributes["kibanaSavedObjectMeta"].(object); ok {
			validate("saved-objects", "#/$defs/searchSource", json.RawMessage(meta["searchSourceJSON"].(string)))
		}
	}
	for _, v := range b.kibana().DataViews {
		validate("kibana", "#/$defs/dataView", v)
	}
	for _, d := range b.kibana().Dashboards {
		validate("kibana", "", d.Data)
	}
	for _, server := range []SearchServer{{URL: "http://es:9200"}, {URL: "https://os:9200", User: "u", OpenSearch: true}, {APIKey: true}} {
		files, err := b.GrafanaFiles(server)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			var v any
			if err := yaml.Unmarshal(f.Text, &v); err != nil { // JSON is YAML
				t.Fatal(err)
			}
			at := "#/$defs/" + strings.Split(f.Path, "/")[0]
			if strings.HasSuffix(f.Path, ".json") {
				at = ""
			}
			validate("grafana", at, v)
		}
	}
}

// The dashboard and the alert rules have all of the daemon's metrics, and none that it has not.
func TestMetricNames(t *testing.T) {
	source, err := os.ReadFile("../web/metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, found := range regexp.MustCompile(`m\.(?:gauge|counter)\("([a-z_]+)"`).FindAllSubmatch(source, -1) {
		known["haystream_"+string(found[1])] = true
	}
	if len(known) < 20 {
		t.Fatalf("only %d names found", len(known))
	}
	dashboard, err := daemonDashboard()
	if err != nil {
		t.Fatal(err)
	}
	alerts, err := alertRulesFile()
	if err != nil {
		t.Fatal(err)
	}
	used := func(text []byte) map[string]bool {
		names := map[string]bool{}
		for _, line := range regexp.MustCompile(`"?expr"?: .*`).FindAll(text, -1) {
			for _, name := range regexp.MustCompile(`haystream_[a-z_]+`).FindAllString(string(line), -1) {
				names[name] = true
			}
		}
		return names
	}
	for name := range known {
		if !used(dashboard)[name] {
			t.Errorf("no panel of metricPanels shows %s", name)
		}
	}
	asked := used(dashboard)
	maps.Copy(asked, used(alerts))
	for name := range asked {
		if !known[name] {
			t.Errorf("the daemon has no metric %s", name)
		}
	}
	for name, text := range map[string][]byte{"dashboard.json": dashboard, "alerts.yaml": alerts} {
		path := filepath.Join("../../docs/grafana", name)
		if *update {
			if err := os.WriteFile(path, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if is, err := os.ReadFile(path); err != nil || !bytes.Equal(is, text) {
			t.Errorf("docs/grafana/%s is not what is written (%v); run go test ./replicator/dashboards -update", name, err)
		}
	}
}
