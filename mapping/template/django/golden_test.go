package django

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"
)

// golden is what testdata/django/golden.py writes: templates as Django renders them.
type golden struct {
	Builtins struct{ Tags, Filters []string } `json:"builtins"`

	Files  map[string]string          `json:"files"`
	Values map[string]json.RawMessage `json:"values"`
	Tables map[string]*goldenTable    `json:"tables"`
	Cases  []struct {
		Template string `json:"template"`
		Zone     string `json:"zone"`
		Note     int    `json:"note"` // the row; 0 for none
		Want     string `json:"want"`
		Error    string `json:"error"`
	} `json:"cases"`
}

type goldenTable struct {
	Members map[string]struct{ One, Many string } `json:"members"`
	Rows    map[string]map[string]json.RawMessage `json:"rows"`

	all map[string]*goldenTable
}

type goldenRow map[string]json.RawMessage

func (t *goldenTable) row(id json.RawMessage) Row {
	row := goldenRow(t.Rows[string(id)])
	return &row
}

func (t *goldenTable) Member(name string) (Member, error) {
	m, ok := t.Members[name]
	if !ok {
		return Member{}, fmt.Errorf("no column %q", name)
	}
	read := func(row Row) json.RawMessage { return (*row.(*goldenRow))[name] }
	if to := t.all[m.One+m.Many]; to != nil {
		to.all = t.all
		return Member{Scope: to, Many: m.Many != "", Rows: func(_ Env, row Row, dst []Row) ([]Row, error) {
			var ids []json.RawMessage
			if text := string(read(row)); strings.HasPrefix(text, "[") {
				if err := json.Unmarshal([]byte(text), &ids); err != nil {
					return dst, err
				}
			} else if text != "null" {
				ids = append(ids, read(row))
			}
			for _, id := range ids {
				dst = append(dst, to.row(id))
			}
			return dst, nil
		}}, nil
	}
	return Member{Value: func(_ Env, row Row) (Value, error) { return goldenValue(read(row)) }}, nil
}

// goldenScope has the values by name, and the members of a row.
type goldenScope struct {
	values map[string]json.RawMessage
	note   *goldenTable
}

func (s goldenScope) Member(name string) (Member, error) {
	raw, ok := s.values[name]
	if !ok {
		return s.note.Member(name)
	}
	v, err := goldenValue(raw)
	return Member{Value: func(Env, Row) (Value, error) { return v, err }}, nil
}

func goldenValue(raw json.RawMessage) (Value, error) {
	if !strings.HasPrefix(string(raw), "{") {
		return readJSON(string(raw))
	}
	var coded map[string]json.RawMessage
	if err := json.Unmarshal(raw, &coded); err != nil {
		return Value{}, err
	}
	for kind, raw := range coded {
		var text string
		_ = json.Unmarshal(raw, &text)
		switch kind {
		case "$float":
			f, err := strconv.ParseFloat(text, 64)
			return ofFloat(f), err
		case "$decimal":
			return Value{kind: decimal, text: text}, nil
		case "$datetime":
			t, err := time.Parse("2006-01-02T15:04:05.999999Z07:00", text)
			if err != nil {
				t, err = time.Parse("2006-01-02T15:04:05.999999", text)
			}
			return Value{kind: datetime, n: t.UnixMicro(), aware: strings.Contains(text, "+")}, err
		case "$date":
			t, err := time.Parse("2006-01-02", text)
			return Value{kind: day, n: t.UnixMicro()}, err
		case "$time":
			v, _ := parseClock("time", text)
			return v, nil
		case "$list":
			var list []json.RawMessage
			_ = json.Unmarshal(raw, &list)
			values := make([]Value, len(list))
			for i := range list {
				values[i], _ = goldenValue(list[i])
			}
			return ofList(values), nil
		case "$dict":
			var pairs [][2]json.RawMessage
			_ = json.Unmarshal(raw, &pairs)
			m := &members{}
			for _, pair := range pairs {
				var key string
				_ = json.Unmarshal(pair[0], &key)
				v, _ := goldenValue(pair[1])
				m.set(key, v)
			}
			return Value{kind: dict, ref: m}, nil
		}
	}
	return Value{}, fmt.Errorf("cannot read %s", raw)
}

// TestMutated wants no text to break the compiler, or the template that it makes.
func TestMutated(t *testing.T) {
	g := readGolden(t)
	for _, table := range g.Tables {
		table.all = g.Tables
	}
	random := rand.New(rand.NewPCG(1, 2))
	pick := func() string { return g.Cases[random.IntN(len(g.Cases))].Template }
	m, scope := &Machine{}, goldenScope{g.Values, g.Tables["Note"]}
	rendered := 0
	for range 20_000 {
		text := pick()
		for range random.IntN(4) {
			other, at := pick(), random.IntN(len(text)+1)
			from := random.IntN(len(other) + 1)
			to := min(from+random.IntN(12), len(other))
			text = text[:at] + other[from:to] + text[min(at+random.IntN(6), len(text)):]
		}
		template, err := Compile(text, Options{Scope: scope, Include: g.include})
		if err != nil {
			continue
		}
		rendered++
		_, _ = m.Render(template, nil, scope.note.row(json.RawMessage("1")), nil)
		if m.depth != 0 || len(m.slots)+len(m.loops)+len(m.counters)+len(m.stack) > 0 {
			t.Fatalf("%s leaves something behind", text)
		}
	}
	if rendered < 2000 {
		t.Errorf("only %d can be rendered", rendered)
	}
}

func (g *golden) include(name, from string) (string, string, error) {
	if strings.HasPrefix(name, ".") {
		name = path.Join(path.Dir(from), name)
	}
	text, ok := g.Files[name]
	if !ok {
		return "", "", fmt.Errorf("there is no file %q", name)
	}
	return name, text, nil
}

func readGolden(t *testing.T) *golden {
	t.Helper()
	text, err := os.ReadFile("../../../testdata/django/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	g := &golden{}
	if err := json.Unmarshal(text, g); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestComplete wants every tag and filter of Django's to be there or refused with a
// reason, and to stand in the docs.
func TestComplete(t *testing.T) {
	g := readGolden(t)
	docs, err := os.ReadFile("../../../docs/templates.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for name := range allTags() {
		known["tag "+name] = true
	}
	for name := range refusedTags {
		known["tag "+name] = true
	}
	for name := range filters {
		known["filter "+name] = true
	}
	for name := range refusedFilters {
		known["filter "+name] = true
	}
	for kind, names := range map[string][]string{"tag": g.Builtins.Tags, "filter": g.Builtins.Filters} {
		if len(names) < 20 {
			t.Errorf("there are only %d %ss", len(names), kind)
		}
		for _, name := range names {
			if !known[kind+" "+name] {
				t.Errorf("nothing is said of the %s %s", kind, name)
			}
			if !strings.Contains(string(docs), "`"+name+"`") {
				t.Errorf("the docs do not name the %s %s", kind, name)
			}
		}
	}
}

// TestGolden renders what Django has rendered.
func TestGolden(t *testing.T) {
	g := readGolden(t)
	for _, table := range g.Tables {
		table.all = g.Tables
	}
	m, failed := &Machine{}, 0
	for _, c := range g.Cases {
		zone, err := time.LoadLocation(c.Zone)
		if err != nil {
			t.Fatal(err)
		}
		scope := goldenScope{g.Values, g.Tables["Note"]}
		template, err := Compile(c.Template, Options{Scope: scope, Zone: zone, Include: g.include})
		var out []byte
		if err == nil {
			out, err = m.Render(template, nil, scope.note.row(json.RawMessage(strconv.Itoa(c.Note))), nil)
		}
		switch {
		case c.Error != "" && err == nil:
			t.Errorf("%s in %s: got %q, want the error %s", c.Template, c.Zone, out, c.Error)
		case c.Error == "" && err != nil:
			t.Errorf("%s in %s: %v, want %q", c.Template, c.Zone, err, c.Want)
		case c.Error == "" && string(out) != c.Want:
			t.Errorf("%s in %s:\n got %q\nwant %q", c.Template, c.Zone, out, c.Want)
		default:
			continue
		}
		if failed++; failed > 100 {
			t.Fatal("too many errors")
		}
	}
	if len(g.Cases) < 300 {
		t.Errorf("only %d cases", len(g.Cases))
	}
}
