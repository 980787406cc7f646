package mapping

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"

	"haystream/mapping/value"
	"haystream/sources"
)

// FuzzTemplate: whatever the text, a template of either language compiles or says why not, and
// renders in bounds or says why not.
func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{
		"{{ .title | upper | truncate 3 }}{{ range $i, $t := .tags }}{{ $i }}{{ . }}{{ end }}", "{{ with .doc }}{{ range .items }}{{ .p }}{{ end }}{{ end }}",
		"{{ if eq .none nil }}{{ printf \"%[2]*[1]d\" 1 2 }}{{ end }}", "{{ slice .title 1 2 }}{{ index .doc \"a\" }}{{ number 2 .price }}{{ .created.Year }}",
		"{% for t in tags reversed %}{{ forloop.counter }}{{ t|slugify }}{% empty %}x{% endfor %}", "{% if price > 3 and not none or title in tags %}{{ title|slice:'1:2'|escapejs }}{% endif %}",
		"{% with a=title|default:'x' b=doc.a %}{{ a|truncatechars:3|urlize|linebreaks }}{% endwith %}", "{{ price|floatformat:'-2g' }}{{ created|date:'D d M Y' }}{{ title|stringformat:'05.2f' }}",
		"{% cycle 'a' tags as c %}{% ifchanged title %}{% endifchanged %}{% widthratio 1 2 3 %}{% blocktrans count n=3 %}a{% plural %}b{% endblocktrans %}", "{% verbatim %}{{ }}{% endverbatim %}{% comment %}{%",
		"{{ title|center:99|wordwrap:3|unordered_list }}{% regroup tags by x as g %}{% spaceless %}<a> <b>{% endspaceless %}", "{{ '\\'' }}{{ _('x') }}{{ 1e3|add:'2' }}",
	} {
		f.Add(seed, "")
		f.Add(seed, engineDjango)
		f.Add(seed, engineGo)
	}
	f.Fuzz(func(t *testing.T, text, engine string) {
		table := sample()
		at := newScope(table)
		compiled, err := templateText{text: text, engine: engine}.compile(at)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a word")
			}
			return
		}
		at.settle()
		s := NewScratch()
		row := image(table, sampleRow)
		if err := s.fill(s.view.values, at, row, nil, fieldsNumber); err != nil {
			t.Fatal(err)
		}
		var out textBuffer
		if err := compiled.run(s, s.here(row, nil), s.view.values, &out); err != nil {
			return
		}
		if len(out) > value.MaxText || utf8.ValidString(text) && !utf8.Valid(out) {
			t.Errorf("%d bytes, %q", len(out), out[:min(len(out), 100)])
		}
	})
}

// FuzzSet: whatever `indexes:` and `tables:` say, there are mistakes with their places, or a plan whose saved forms give it again.
func FuzzSet(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(goldenFolder, "*.txtar"))
	if err != nil {
		f.Fatal(err)
	}
	var catalogs [][]*sources.Table
	for i, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		in := map[string]string{}
		for _, part := range archive.Files {
			in[part.Name] = string(part.Data)
		}
		catalogs = append(catalogs, parseCatalog(f, in["catalog"]))
		f.Add(in["config.yaml"], uint8(i))
	}
	f.Fuzz(func(t *testing.T, config string, n uint8) {
		tables := catalogs[int(n)%len(catalogs)]
		set, err := decodeSet(map[string]string{"config.yaml": config})
		if err != nil {
			return
		}
		static := set.Check(rules(nil))
		plan, err := Options{Rules: rules(nil)}.Compile(tables, set)
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if strings.TrimSpace(line) == "" {
					t.Errorf("a mistake without a word: %q", err)
				}
			}
			return
		}
		if len(static) > 0 {
			t.Errorf("a sound set has problems: %v", static)
		}
		for _, index := range plan.Sets[0] {
			checkRestored(t, tables, Options{Rules: rules(nil)}, index)
		}
	})
}
