package django

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// testScope has the columns title, created and n, the row author and the rows comments.
type testScope struct{}

func (s testScope) Member(name string) (Member, error) {
	value := func(v Value) func(Env, Row) (Value, error) {
		return func(Env, Row) (Value, error) { return v, nil }
	}
	switch name {
	case "title":
		return Member{Type: TextType, Value: value(Text("<Title>"))}, nil
	case "created":
		return Member{Type: MomentType, Value: value(Value{kind: datetime, aware: true})}, nil
	case "n":
		return Member{Type: NumberType, Value: value(ofInt(3))}, nil
	case "doc":
		return Member{Value: value(None())}, nil
	case "author", "comments":
		return Member{Scope: s, Many: name == "comments", Rows: func(_ Env, row Row, dst []Row) ([]Row, error) {
			return append(dst, row, row), nil
		}}, nil
	}
	return Member{}, fmt.Errorf("no column %q", name)
}

func TestMistakes(t *testing.T) {
	files := map[string]string{"self.txt": "{% include 'self.txt' %}", "bad.txt": "\n{{ titel }}", "only.txt": "{{ title }}"}
	include := func(name, _ string) (string, string, error) {
		if text, ok := files[name]; ok {
			return name, text, nil
		}
		return "", "", fmt.Errorf("there is no file %q", name)
	}
	for _, tt := range []struct {
		template string
		want     []string // each mistake, in order
	}{
		{"{{ titel }}", []string{`no column "titel" (template line 1)`}},
		{"\n{{ title|lowr }}\n{% fro x in comments %}{% endfro %}{{ nope }}", []string{`there is no filter "lowr"; did you mean "lower"? (template line 2)`, `there is no tag "fro"; did you mean "for"? (template line 3)`, `no column "nope" (template line 3)`}},
		{"{{ title|default }}{{ title|upper:1 }}", []string{"the filter default wants an argument", "the filter upper takes no argument"}},
		{"{{ title|default:nope|lowr }}", []string{`no column "nope"`, `there is no filter "lowr"`}},
		{"{% now 'Y' %}{{ title|random }}{{ created|timesince }}", []string{"{% now %} is not available: it asks for the current time", "the filter random is not available", "the filter timesince is not available without an argument"}},
		{"{% if title %}", []string{"{% if %} has no {% endif %} (template line 1)"}},
		{"{% endif %}{% else %}", []string{"{% endif %} is without the tag that it belongs to", "{% else %} is without"}},
		{"{% if title = 1 %}a{% endif %}{% if %}b{% endif %}{% if title and %}c{% endif %}{% if title n %}d{% endif %}", []string{
			`"=" is not expected in the condition`, "the condition is missing", "the condition ends where something is missing", `"n" is not expected in the condition`,
		}},
		{"{% if title %}a{% else if n %}b{% endif %}", []string{"{% else if %} is {% elif %}"}},
		{"{% for x of comments %}{% endfor %}{% for x in author %}{% endfor %}{% for x in n %}{% endfor %}", []string{"a loop is written {% for NAME in LIST %}", "author is one row, and no list", "n is a number, and no list"}},
		{"{{ comments.body }}{{ comments }}{{ author }}", []string{`there may be many rows before "body"; loop over comments`, "comments are rows, and no value of their own", "author is a row, and no value of its own"}},
		{"{{ created.yaer }}{{ title.nope }}{{ n.x }}{{ title.0 }}", []string{`created is a time, and has no "yaer"; did you mean "year"?`, `title is text, and has no "nope"`, `n is a number, and has no "x"`}},
		{"{{ forloop.counter }}", []string{`no column "forloop"`}},
		{"{% for x in comments %}{{ forloop.conter }}{{ forloop }}{% endfor %}", []string{`forloop has no "conter"; did you mean "counter"?`, "forloop is no value of its own"}},
		{"a {{ title\n}} b {% if", []string{"{{ is not closed by }} in its line (template line 1)", "{% is not closed by %} in its line (template line 2)"}},
		{"{# a\nb #}", []string{"{# is not closed by #} in its line; {% comment %} spans lines"}},
		{"{{ .title }}{% if title %}{% endif %}", []string{"{{ .title }} is of Go's templates"}},
		{"{{ range comments }}{% range x %}", []string{"{{ range comments }} is of Go's templates", `there is no tag "range"; in Go's templates it stands in {{ }}`}},
		{"{{ title|}}{{ title|x y }}{{ a..b }}{{ title._x }}{{}}", []string{`"|" cannot be read in "title|"`, `there is no filter "x"`, `"y" cannot be read`, "has two", "cannot begin with an underscore", "{{ }} is empty"}},
		{"{% include 'none.txt' %}{% include title %}{% include 'self.txt' %}{% include 'bad.txt' %}", []string{`there is no file "none.txt"`, "include wants the file's name in quotes", "self.txt includes itself", `no column "titel" (template line 2 of bad.txt)`}},
		{"{% include 'only.txt' only %}", []string{`there is no "title" here`}},
		{"{% load mytags %}", []string{`the library "mytags" is not Django's own`}},
		{"{% with title %}{% endwith %}{% autoescape maybe %}{% endautoescape %}{% templatetag x %}{% cycle %}{% resetcycle x %}", []string{"with wants name=value", "autoescape is on or off", "templatetag is one of", "cycle wants values", "resetcycle is for a cycle"}},
		{"{% if author == title %}{% endif %}{% if author in comments %}{% endif %}", []string{"author cannot be compared as a row"}},
		{"{{ comments|upper }}{{ comments|dictsort:title }}{{ comments|dictsort:'nope' }}", []string{"the filter upper takes no rows", "wants the name of a column of comments", `no column "nope"`}},
		{"{% blocktrans %}{{ title|upper }}{% if %}{% endblocktrans %}", []string{"{{ title|upper }} cannot be in {% blocktrans %}", "{% if %} cannot be in {% blocktrans %}"}},
		{"{% extends 'x' %}{% block a %}{% endblock %}", []string{"{% extends %} is not available", "{% block %} is not available"}},
	} {
		_, err := Compile(tt.template, Options{Scope: testScope{}, Include: include})
		var got []string
		if joined, ok := errors.AsType[interface {
			error
			Unwrap() []error
		}](err); ok {
			for _, e := range joined.Unwrap() {
				got = append(got, e.Error())
			}
		}
		ok := len(got) >= len(tt.want)
		for i := range tt.want {
			ok = ok && strings.Contains(strings.Join(got, "\n"), tt.want[i])
		}
		if !ok {
			t.Errorf("%s:\n got %s\nwant %s", tt.template, strings.Join(got, "\n     "), strings.Join(tt.want, "\n     "))
		}
	}
}

// TestRefused keeps every name of Django's either available or refused with a reason.
func TestRefused(t *testing.T) {
	for name := range refusedFilters {
		if filters[name] != nil {
			t.Errorf("the filter %s is refused and there", name)
		}
	}
	tags := allTags()
	for name := range refusedTags {
		if tags[name] != nil {
			t.Errorf("the tag %s is refused and there", name)
		}
	}
}

func TestBounds(t *testing.T) {
	for _, text := range []string{
		"{% for a in s %}{% for b in s %}{% for c in s %}{{ c }}{% endfor %}{% endfor %}{% endfor %}",
		"{{ n|stringformat:'999999999d' }}", "{{ n|center:999999999 }}", "{{ n|floatformat:99999999 }}",
		"{% for a in s %}{% for b in s %}{{ s|lower }}{% endfor %}{% endfor %}",
	} {
		template, err := Compile(text, Options{Scope: longScope{}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (&Machine{}).Render(template, nil, 0, nil); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

type longScope struct{}

func (longScope) Member(name string) (Member, error) {
	v := Text(strings.Repeat("x", 1000))
	if name == "n" {
		v = ofInt(1)
	}
	return Member{Value: func(Env, Row) (Value, error) { return v, nil }}, nil
}
