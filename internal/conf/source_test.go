package conf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type pipeline struct {
	Name    string              `yaml:"name"`
	Include []string            `yaml:"include"`
	Tables  map[string]*section `yaml:"tables"`
	Indexes map[string]*section `yaml:"indexes"`
}

// files writes the named files into a fresh folder, which becomes the working one.
func files(t *testing.T, texts map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range texts {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIncludeJoinsSections(t *testing.T) {
	files(t, map[string]string{
		"etc/main.yaml":      "name: a\ninclude: [indexes/*.yaml, tables.yaml]\nindexes:\n  one: {lanes: 1}\n",
		"etc/indexes/b.yaml": "indexes:\n  two:\n    lanes: 2\n  three: {lanes: 3}\n",
		"etc/indexes/c.yaml": "# nothing yet\n",
		"etc/tables.yaml":    "\n\ntables:\n  t: {name: x}\nindexes:\n",
	})
	var v pipeline
	s, err := Load("etc/main.yaml", &v, "indexes", "tables")
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Indexes) != 3 || v.Indexes["three"].Lanes != 3 || v.Tables["t"].Name != "x" {
		t.Errorf("got %+v", v)
	}
	for path, want := range map[string]struct {
		file string
		line int
	}{
		"indexes.one.lanes":       {"etc/main.yaml", 4},
		"indexes.two.lanes":       {"etc/indexes/b.yaml", 3},
		"indexes.two.fields.none": {"etc/indexes/b.yaml", 2},
		"indexes.four":            {"etc/main.yaml", 3},
		"tables.t":                {"etc/tables.yaml", 4},
		"tables":                  {"etc/tables.yaml", 3},
		"include.1":               {"etc/main.yaml", 2},
		"sink":                    {"etc/main.yaml", 0},
	} {
		if file, line := s.Position(path); file != want.file || line != want.line {
			t.Errorf("%s is at %s:%d, want %s:%d", path, file, line, want.file, want.line)
		}
	}
	if !s.Has("indexes.two") || s.Has("indexes.two.name") {
		t.Error("Has is wrong")
	}
	got := s.Errorf("indexes.two.lanes", "must be %d", 1).Error()
	if want := "etc/indexes/b.yaml:3: indexes.two.lanes: must be 1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestIncludeErrors(t *testing.T) {
	files(t, map[string]string{
		"main.yaml": "include:\n- a.yaml\n- none/*.yaml\n- '*.yaml'\nindexes:\n  one: {lanes: 1}\n",
		"a.yaml":    "name: b\nindxes: {}\nindexes:\n  one: {lanes: 2}\n  two: {lane: 2}\n",
		"b.yaml":    "indexes:\n  two: {}\n  bad: [\n",
		"c.yaml":    "tables: a\n",
		"d.yaml":    "- a\n",
	})
	var v pipeline
	_, err := Load("main.yaml", &v, "indexes", "tables")
	want := strings.Join([]string{
		`a.yaml:1: name: an included file may hold only indexes and tables`,
		`a.yaml:2: indxes: an included file may hold only indexes and tables; did you mean "indexes"?`,
		`a.yaml:4: indexes.one: is defined twice; first at main.yaml:6`,
		`a.yaml:5: indexes.two.lane: unknown setting; did you mean "lanes"?`,
		`b.yaml:4: did not find expected node content`,
		`c.yaml:1: tables: wants a mapping of names to values, not text`,
		`d.yaml:1: wants a section of settings, not a list`,
		`main.yaml:3: include.1: no file matches "none/*.yaml"`,
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestLoadWithoutFile(t *testing.T) {
	var v pipeline
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"), &v)
	if err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v", err)
	}
}
