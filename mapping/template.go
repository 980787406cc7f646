package mapping

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"haystream/mapping/template/django"
)

// The languages of templates, as the setting engine has them.
const (
	engineGo     = "go"
	engineDjango = "django"
)

// Engines are the languages that templates are written in.
func Engines() []string { return []string{engineDjango, engineGo} }

// A templateText is a template and what decides about it.
type templateText struct {
	text   string
	engine string // as it is set; empty: the text tells

	// prefers is the language of a text that could be of either; empty: Go.
	prefers string

	plain    bool // Django's does not escape
	zone     *time.Location
	file     string            // the path of the text; empty: of the configuration's folder
	includes map[string]string // files, by path
}

// A textTemplate is a compiled template.
type textTemplate struct {
	engine  string
	golang  *goTemplate
	django  *django.Template
	columns []int // of the row itself that it reads
}

// compile compiles the template for the rows of a scope.
func (t templateText) compile(at *scope) (*textTemplate, error) {
	if t.text == "" {
		return nil, errors.New("the template is empty")
	}
	engine, err := t.language(at)
	if err != nil {
		return nil, err
	}
	return t.compileAs(engine, at)
}

func (t templateText) compileAs(engine string, at *scope) (*textTemplate, error) {
	compiled := &textTemplate{engine: engine}
	var err error
	if engine == engineGo {
		compiled.golang, compiled.columns, err = compileGo(t.text, at)
		return compiled, err
	}
	view := &djangoScope{scope: at, found: &compiled.columns}
	zone := t.zone
	if zone == nil {
		zone = at.zone()
	}
	compiled.django, err = django.Compile(t.text, django.Options{Scope: view, Zone: zone, Plain: t.plain, File: t.file, Include: t.include})
	slices.Sort(compiled.columns)
	return compiled, err
}

// language tells which language the text is of: the one whose forms it has. Where
// it could be either, that is the preferred one, unless only the other can be compiled.
func (t templateText) language(at *scope) (string, error) {
	signs := signsOf(t.text)
	of := map[string]*sign{}
	for i := range signs {
		if s := &signs[i]; of[s.engine] == nil {
			of[s.engine] = s
		}
	}
	isGo, isDjango := of[engineGo], of[engineDjango]
	switch {
	case t.engine == engineGo && isDjango != nil:
		return "", fmt.Errorf("%s is of Django's templates, and engine says that this is one of Go's%s (template line %d)", isDjango.text, isDjango.hint(), isDjango.line)
	case slices.Contains(Engines(), t.engine):
		return t.engine, nil
	case isGo != nil && isDjango != nil:
		return "", fmt.Errorf("%s is of Go's templates and %s (line %d) is of Django's; write it in one of the two (template line %d)", isGo.text, isDjango.text, isDjango.line, isGo.line)
	case isGo != nil:
		return engineGo, nil
	case isDjango != nil:
		return engineDjango, nil
	}
	first, second := engineGo, engineDjango
	if t.prefers == engineDjango {
		first, second = second, first
	}
	if _, err := t.compileAs(first, at.trial()); err != nil {
		if _, err := t.compileAs(second, at.trial()); err == nil {
			return second, nil
		}
	}
	return first, nil
}

// A sign is a form that only one of the languages has.
type sign struct {
	engine string
	text   string
	line   int
}

// hint says how Go writes what Django has a form for.
func (s *sign) hint() string {
	if filter, argument, ok := strings.Cut(s.text, ":"); ok && strings.HasPrefix(s.text, "{{") {
		filter = strings.TrimSpace(filter[strings.LastIndexByte(filter, '|')+1:])
		argument = strings.TrimSpace(strings.TrimSuffix(argument, "}}"))
		return fmt.Sprintf("; there the argument stands behind a space: {{ … | %s %s }}", filter, argument)
	}
	return ""
}

var (
	actionPattern = regexp.MustCompile(`(?s)\{\{.*?\}\}`)
	tagPattern    = regexp.MustCompile(`\{%(?:.*?%\})?|\{#(?s:.*?#\})?|[%#]\}`)
	quotedPattern = regexp.MustCompile(`"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'`)
	goPattern     = regexp.MustCompile("^\\s*-\\s|\\s-\\s*$|\n|^\\s*/\\*|(^|[\\s(|])[.$]|`|:=|(^|[^_])\\(|" +
		`^\s*(if|else|end|range|with|define|template|block|break|continue)(\s|$)|(^|\|)\s*[\w.]+\s+[^\s|]`)
	namePattern   = regexp.MustCompile(`^\s*([a-zA-Z_]\w*)`)
	filterPattern = regexp.MustCompile(`\|\s*(\w+)(:?)`)
)

// signsOf finds the forms in a text that tell its language.
func signsOf(text string) []sign {
	var signs []sign
	add := func(engine, form string, at int) {
		if r := []rune(form); len(r) > 40 {
			form = string(r[:39]) + "…"
		}
		signs = append(signs, sign{engine, form, 1 + strings.Count(text[:at], "\n")})
	}
	done := 0
	between := func(end int) {
		for _, place := range tagPattern.FindAllStringIndex(text[done:end], -1) {
			add(engineDjango, text[done+place[0]:done+place[1]], done+place[0])
		}
	}
	for _, place := range actionPattern.FindAllStringIndex(text, -1) {
		between(place[0])
		done = place[1]
		action := text[place[0]:place[1]]
		if engine := languageOf(action[2 : len(action)-2]); engine != "" {
			add(engine, action, place[0])
		}
	}
	between(len(text))
	return signs
}

// languageOf tells the language of what stands in {{ }}; empty where both have it.
func languageOf(action string) string {
	action = quotedPattern.ReplaceAllString(action, `""`)
	if goPattern.MatchString(action) {
		return engineGo
	}
	if found := namePattern.FindStringSubmatch(action); found != nil && found[1] != rowName && !slices.Contains([]string{"true", "false", "nil"}, found[1]) {
		return engineDjango // a column; in Go's it begins with a dot, and a function has arguments
	}
	for _, found := range filterPattern.FindAllStringSubmatch(action, -1) {
		_, inGo := slices.BinarySearch(templateFunctionNames(), found[1])
		_, inDjango := slices.BinarySearch(django.FilterNames(), found[1])
		switch {
		case found[2] != "" || inDjango && !inGo:
			return engineDjango
		case inGo && !inDjango:
			return engineGo
		}
	}
	return ""
}

// isTemplate reports whether a setting that may be a name is a template.
func isTemplate(text string) bool {
	return strings.Contains(text, "{{") || tagPattern.MatchString(text)
}

// run renders the template for a row onto out. values are the row's boxed ones.
func (t *textTemplate) run(s *Scratch, row *loaded, values map[string]any, out *textBuffer) error {
	if t.golang != nil {
		return t.golang.run(values, out)
	}
	text, err := s.machine.Render(t.django, s, row, *out)
	*out = text
	return err
}
