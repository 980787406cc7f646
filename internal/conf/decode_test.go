package conf

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// sample has one field of every kind that the decoder fills.
type sample struct {
	Shared `yaml:",inline"`

	Text     string              `yaml:"text"`
	Hidden   Secret              `yaml:"hidden"`
	Count    int                 `yaml:"count"`
	Small    uint8               `yaml:"small"`
	Factor   float64             `yaml:"factor"`
	On       bool                `yaml:"on"`
	Maybe    *bool               `yaml:"maybe"`
	Size     Bytes               `yaml:"size"`
	Wait     Duration            `yaml:"wait"`
	Words    []string            `yaml:"words"`
	Raw      json.RawMessage     `yaml:"raw"`
	Any      any                 `yaml:"any"`
	Section  *section            `yaml:"section"`
	Sections map[string]*section `yaml:"sections"`
	Forms    []form              `yaml:"forms"`
	NoTag    string
	Ignored  string `yaml:"-"`
}

type Shared struct {
	Level string `yaml:"level"`
}

type section struct {
	Lanes int    `yaml:"lanes"`
	Name  string `yaml:"name"`
}

// form is a path, or a section of settings.
type form struct {
	From  string
	Lanes int
}

func (f *form) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		return Decode(n, &f.From)
	}
	var long struct {
		From    string  `yaml:"from"`
		Section section `yaml:"section"`
	}
	if err := Decode(n, &long); err != nil {
		return err
	}
	if long.From == "" {
		return errors.New("wants a path")
	}
	f.From, f.Lanes = long.From, long.Section.Lanes
	return nil
}

func parse(t *testing.T, text string, v any) error {
	t.Helper()
	d := parseDocument("test.yaml", []byte(text))
	dec := &decoder{file: d.file, errs: d.errs}
	if d.root != nil {
		dec.value(d.root, reflect.ValueOf(v).Elem(), "")
	}
	return dec.errs.Err()
}

func TestDecodeFillsEveryKind(t *testing.T) {
	t.Setenv("COUNT", "0x10")
	t.Setenv("LEVEL", "12345")
	t.Setenv("EMPTY", "")
	yes := true
	got := sample{Size: 7, Section: &section{Lanes: 4, Name: "kept"}}
	err := parse(t, `
text: 2024-01-02
hidden: 0123
count: ${COUNT}
small: 255
factor: 1e3
on: True
maybe: "${MAYBE:-true}"
size: ${SIZE:-5MiB}
wait: 1m30s
words: [a, "${EMPTY}", "$${a} ${EMPTY:-b c}$"]
raw: {b: 12345678901234567890.10, a: [0x1F, 1_000, true, null, "<é\n", 2024-01-02], "c d": {}, e: "${COUNT}"}
any: {n: 1.50, list: [x]}
section: {lanes: "${LANES:-2}"}
sections:
  base: &base {lanes: 1, name: base}
  empty:
  derived: {<<: *base, name: own}
  copy: *base
forms: [user.name, {from: title, section: {lanes: 3}}]
level: ${LEVEL}
`, &got)
	if err != nil {
		t.Fatal(err)
	}
	want := sample{
		Text: "2024-01-02", Hidden: "0123", Count: 16, Small: 255, Factor: 1000, On: true, Maybe: &yes,
		Size: 5 << 20, Wait: Duration(90e9), Words: []string{"a", "", "${a} b c$"},
		Raw:     json.RawMessage(`{"b":12345678901234567890.10,"a":[31,1000,true,null,"<é\n","2024-01-02"],"c d":{},"e":"0x10"}`),
		Any:     map[string]any{"n": json.Number("1.50"), "list": []any{"x"}},
		Section: &section{Lanes: 2, Name: "kept"},
		Sections: map[string]*section{
			"base": {1, "base"}, "empty": {}, "derived": {1, "own"}, "copy": {1, "base"},
		},
		Forms:  []form{{From: "user.name"}, {From: "title", Lanes: 3}},
		Shared: Shared{Level: "12345"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestNullKeepsDefaults(t *testing.T) {
	got := sample{Text: "a", Count: 3, Size: 5, Words: []string{"x"}}
	want := got
	want.Section = &section{}
	if err := parse(t, "text:\ncount: null\nsize: ~\nwords:\nmaybe:\nsection:\nraw:\nany:\n", &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if err := parse(t, "# nothing\n", &got); err != nil {
		t.Error(err)
	}
}

func TestDecodeErrors(t *testing.T) {
	t.Setenv("WORD", "many")
	for name, c := range map[string]struct{ yaml, want string }{
		"unknown, near":       {"txet: a", `1: txet: unknown setting; did you mean "text"?`},
		"unknown, far":        {"section: {colour: red}", `1: section.colour: unknown setting; there are lanes, name`},
		"field without a tag": {"NoTag: a", `1: NoTag: unknown setting; there are any, count, factor, forms, hidden, level, maybe, on, raw, section, sections, size, small, text, wait, words`},
		"hidden field":        {"-: a", `1: -: unknown setting; there are any, count, factor, forms, hidden, level, maybe, on, raw, section, sections, size, small, text, wait, words`},
		"text for an integer": {"count: many", `1: count: wants a whole number, not text`},
		"through a variable":  {"count: ${WORD}", `1: count: wants a whole number, not text`},
		"quoted integer":      {`count: "3"`, `1: count: wants a whole number, not text`},
		"fraction":            {"count: 1.5", `1: count: wants a whole number, not a number`},
		"too big":             {"small: 256", `1: small: 256 is out of range`},
		"negative":            {"small: -1", `1: small: must not be negative`},
		"beyond int64":        {"count: 9223372036854775808", `1: count: 9223372036854775808 is out of range`},
		"not a bool":          {"on: yes", `1: on: wants true or false, not text`},
		"not a number":        {"factor: [1]", `1: factor: wants a number, not a list`},
		"not a size":          {"size: 5 apples", `1: size: "5 apples" is not a size; write it like 5MiB`},
		"not a duration":      {"wait: 5", `1: wait: "5" is not a duration; write it like 100ms or 5s`},
		"list for a size":     {"size: [1]", `1: size: wants text, not a list`},
		"text for a list":     {"words: a", `1: words: wants a list, not text`},
		"list for a text":     {"text: [a]", `1: text: wants text, not a list`},
		"text for a section":  {"\nsection: a", `2: section: wants a section of settings, not text`},
		"text for a map":      {"sections: a", `1: sections: wants a mapping of names to values, not text`},
		"in a list":           {"words:\n- a\n- [b]", `3: words.1: wants text, not a list`},
		"own form":            {"forms:\n- a\n- from: b\n  section:\n    lnaes: 1", `5: forms.1.section.lnaes: unknown setting; did you mean "lanes"?`},
		"own form, own error": {"forms:\n- a\n- {section: {lanes: 1}}", `3: forms.1: wants a path`},
		"set twice":           {"text: a\ncount: 1\ntext: b", `3: text: is set twice; first on line 1`},
		"no such variable":    {"text: ${HS_UNSET}", `1: text: the environment variable HS_UNSET is not set; set it, or give a default: ${HS_UNSET:-default}`},
		"open variable":       {"text: a ${WORD", `1: text: ${ has no closing }; write $${ for a literal ${`},
		"odd variable":        {"text: ${a b}", `1: text: ${…} does not name an environment variable; write $${ for a literal ${`},
		"infinite JSON":       {"raw: [.inf]", `1: raw.0: .inf is not a number that JSON can hold; write it like 0.5`},
		"unknown anchor":      {"count: 1\nhidden: *swordfish", `2: an anchor of that name is not set; a text that begins with * needs quotes`},
		"endless":             {"any: &x\n- [*x]", `2: any.0.0: refers to itself`},
		"endless merge":       {"section: &x\n  <<: *x", `2: section: refers to itself`},
		"tag":                 {"hidden: !swordfish", `1: hidden: YAML tags are not understood here; a text that begins with ! needs quotes`},
		"merge of text":       {"section: {<<: a}", `1: section: << takes a mapping or a list of mappings`},
		"complex key":         {"sections: {[a]: {}}", `1: sections: a key must be a plain word`},
		"scanner":             {"text: a\n\tcount: 1", `2: found a tab character that violates indentation`},
		"cut":                 {"section: {name: any(a, .b == \"x\", c), lanes: 1}", `1: section.name: is cut off at a comma; inside { } a text that holds one needs quotes: name: "any(a, .b == \"x\", c)"`},
		"no value":            {"section: {lanes: 1, txt}", `1: section.txt: unknown setting; there are lanes, name`},
		"parser":              {"text: a\nwords: [a,\ncount: 1", `2: did not find expected ',' or ']'; a [ before this line is not closed, a comma is missing, or ${NAME} is not in quotes`},
		"two documents":       {"text: a\n---\ntext: b", `2: the file holds more than one YAML document`},
		"not a mapping":       {"- a", `1: wants a section of settings, not a list`},
	} {
		t.Run(name, func(t *testing.T) {
			var v sample
			err := parse(t, c.yaml, &v)
			if want := "test.yaml:" + c.want; err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

func TestAllErrorsAtOnceInOrder(t *testing.T) {
	var v sample
	err := parse(t, "words: a\ncount: b\nsection: {lane: 1}\nsize: c\ncount: 2\ntext: ${HS_UNSET}\n", &v)
	want := `test.yaml:1: words: wants a list, not text
test.yaml:2: count: wants a whole number, not text
test.yaml:3: section.lane: unknown setting; did you mean "lanes"?
test.yaml:4: size: "c" is not a size; write it like 5MiB
test.yaml:5: count: is set twice; first on line 2
test.yaml:6: text: the environment variable HS_UNSET is not set; set it, or give a default: ${HS_UNSET:-default}`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestAliasesAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("any:\n  a0: &a0 x\n")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&b, "  a%d: &a%d [*a%d, *a%d]\n", i, i, i-1, i-1)
	}
	var v sample
	err := parse(t, b.String(), &v)
	if err == nil || !strings.Contains(err.Error(), "the aliases expand to more than") || strings.Count(err.Error(), "\n") > 0 {
		t.Errorf("got %v", err)
	}
}

// FuzzDecode: whatever the text, there is a value or a list of mistakes.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"text: a\ncount: ${COUNT:-3}\n", "any: &x [*x]\n", "section: &x {<<: *x}\n", "raw: {a: [1, .5, 0x1F, !t x]}\n",
		"forms:\n- a\n- {from: b}\n", "? [a]\n: b\n", "sections: {a: {<<: [{lanes: 1}, {name: b}]}}\n", "--- a\n--- b\n", "size: 5MiB\nwait: 5s\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var v sample
		var errs Errors
		if err := parse(t, text, &v); err != nil && !errors.As(err, &errs) {
			t.Errorf("got %T: %v", err, err)
		}
	})
}
