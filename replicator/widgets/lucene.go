package widgets

import (
	"regexp"
	"slices"
	"strings"
)

// A bound is one end of a range in a query's text or JSON.
type bound struct {
	text   string // as it stands, without quotes
	start  int    // where text is, for Lucene text
	quoted bool
}

// fromNow reports whether it is date math from now.
func (b bound) fromNow() bool {
	rest, ok := strings.CutPrefix(b.text, "now")
	return ok && (rest == "" || strings.ContainsAny(rest[:1], `+-/\`))
}

// past reports whether it is before now, whenever now is.
func (b bound) past() bool {
	rest := strings.TrimPrefix(unescape(b.text), "now")
	return b.fromNow() && (strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "/"))
}

// A span of a field's values that a query asks for.
type span struct {
	field    string
	from, to bound // with an empty text where it is open
	compared bool  // written with < or >
}

// A scanner reads Lucene's query syntax as far as to know which fields it names and
// which ranges: the rest it passes over.
type scanner struct {
	text   string
	at     int
	fields []string // named, each once
	spans  []span
	groups []string // the fields of open parentheses; "" for one without
}

// scanLucene reads a query's text.
func scanLucene(text string) *scanner {
	s := &scanner{text: text}
	for s.at < len(s.text) {
		s.step(s.group())
	}
	return s
}

// group is the field that the innermost open parenthesis is of.
func (s *scanner) group() string {
	for _, field := range slices.Backward(s.groups) {
		if field != "" {
			return field
		}
	}
	return ""
}

// step reads one thing; field is the one that it is of where it names none itself.
func (s *scanner) step(field string) {
	switch c := s.text[s.at]; {
	case strings.IndexByte(" \t\r\n+-!&|", c) >= 0:
		s.at++
	case c == '(':
		s.groups = append(s.groups, "")
		s.at++
	case c == ')':
		if len(s.groups) > 0 {
			s.groups = s.groups[:len(s.groups)-1]
		}
		s.at++
	case c == '"', c == '/':
		s.quoted(c)
	case c == '[' || c == '{':
		s.between(field)
	case c == '<' || c == '>':
		s.compared(field)
	default:
		s.word()
	}
}

// quoted passes over what ends with the byte that it begins with.
func (s *scanner) quoted(quote byte) string {
	begin := s.at + 1
	for s.at++; s.at < len(s.text) && s.text[s.at] != quote; s.at++ {
		if s.text[s.at] == '\\' {
			s.at++
		}
	}
	end := min(s.at, len(s.text))
	s.at++
	return s.text[begin:end]
}

// word reads a term, or a field's name and what follows its colon.
func (s *scanner) word() {
	begin := s.at
	for ; s.at < len(s.text) && strings.IndexByte(" \t\r\n()[]{}\":", s.text[s.at]) < 0; s.at++ {
		if s.text[s.at] == '\\' {
			s.at++
		}
	}
	s.at = min(s.at, len(s.text))
	if s.at >= len(s.text) || s.text[s.at] != ':' {
		if s.at == begin {
			s.at++ // a stray bracket
		}
		return
	}
	name := unescape(s.text[begin:s.at])
	s.at++
	if name == "_exists_" {
		begin := s.at
		s.word()
		name = unescape(strings.Trim(s.text[begin:min(s.at, len(s.text))], `"`))
	}
	if !slices.Contains(s.fields, name) && name != "" {
		s.fields = append(s.fields, name)
	}
	for s.at < len(s.text) && strings.IndexByte(" \t\r\n", s.text[s.at]) >= 0 {
		s.at++
	}
	switch {
	case s.at >= len(s.text):
	case s.text[s.at] == '(':
		s.groups = append(s.groups, name)
		s.at++
	case strings.IndexByte("[{<>\"/", s.text[s.at]) >= 0:
		s.step(name)
	default:
		s.term()
	}
}

// term passes over one that is no field's name, whatever is in it.
func (s *scanner) term() bound {
	begin := s.at
	if s.at < len(s.text) && s.text[s.at] == '"' {
		return bound{s.quoted('"'), begin + 1, true}
	}
	for ; s.at < len(s.text) && strings.IndexByte(" \t\r\n()[]{}", s.text[s.at]) < 0; s.at++ {
		if s.text[s.at] == '\\' {
			s.at++
		}
	}
	s.at = min(s.at, len(s.text))
	return bound{s.text[begin:s.at], begin, false}
}

// compared reads >=x and the like.
func (s *scanner) compared(field string) {
	below := s.text[s.at] == '<'
	for s.at++; s.at < len(s.text) && strings.IndexByte("= \t\r\n", s.text[s.at]) >= 0; {
		s.at++
	}
	end := s.term()
	if below {
		s.spans = append(s.spans, span{field: field, to: end, compared: true})
		return
	}
	s.spans = append(s.spans, span{field: field, from: end, compared: true})
}

// between reads [x TO y], either bracket of which may be a brace.
func (s *scanner) between(field string) {
	s.at++
	var ends []bound
	for s.at < len(s.text) && s.text[s.at] != ']' && s.text[s.at] != '}' {
		if strings.IndexByte(" \t\r\n([{)", s.text[s.at]) >= 0 {
			s.at++
			continue
		}
		if end := s.term(); end.text != "TO" {
			ends = append(ends, end)
		}
	}
	s.at++
	if len(ends) == 2 {
		for i := range ends {
			if ends[i].text == "*" {
				ends[i] = bound{}
			}
		}
		s.spans = append(s.spans, span{field: field, from: ends[0], to: ends[1]})
	}
}

func unescape(name string) string { return strings.ReplaceAll(name, `\`, "") }

// shiftLucene is the text as of a span of time before now, and the fields that it looks at
// until now.
func shiftLucene(text string, by Span) (shifted string, until []string) {
	s := scanLucene(text)
	var now []int // places after the word
	for _, r := range s.spans {
		for _, b := range []bound{r.from, r.to} {
			if b.fromNow() {
				now = append(now, b.start+len("now"))
			}
		}
		until = r.until(until)
	}
	slices.Sort(now)
	for _, at := range slices.Backward(now) {
		text = text[:at] + "-" + by.String() + text[at:]
	}
	return text, until
}

// Lucene is Lucene text as servers take it. What is behind < and > is a bare word to them: a slash in it begins a
// regular expression, and quotes another word. So date math that rounds, such as created:>=now/d, and what is quoted are escaped.
func Lucene(text string) string {
	for _, r := range slices.Backward(scanLucene(text).spans) {
		b := r.from
		if b.text == "" {
			b = r.to
		}
		begin, end := b.start, b.start+len(b.text)
		switch {
		case !r.compared:
		case b.quoted && end < len(text):
			text = text[:begin-1] + special.ReplaceAllString(b.text, `\$0`) + text[end+1:]
		case b.fromNow():
			text = text[:begin] + strings.ReplaceAll(strings.ReplaceAll(b.text, `\/`, "/"), "/", `\/`) + text[end:]
		}
	}
	return text
}

// special are the characters that mean something in a word.
var special = regexp.MustCompile(`[-+!():^\[\]"{}~*?|&/\\\s]`)

// until adds the field of a range that begins before now and has no end.
func (r span) until(fields []string) []string {
	if r.from.past() && r.to.text == "" && r.field != "" && !slices.Contains(fields, r.field) {
		return append(fields, r.field)
	}
	return fields
}

// mentionsNow reports whether the query asks for other documents as time goes by.
func (q *Query) mentionsNow() bool {
	return slices.ContainsFunc(q.spans(), func(r span) bool { return r.from.fromNow() || r.to.fromNow() })
}

// fields that the query's Lucene text names; those with a wildcard are left out.
func (q *Query) fields() (all []string) {
	for _, name := range scanLucene(q.Lucene).fields {
		if !strings.ContainsAny(name, "*?") {
			all = append(all, name)
		}
	}
	return all
}

func (q *Query) spans() []span {
	all := scanLucene(q.Lucene).spans
	if q.DSL == nil {
		return all
	}
	dsl, err := decodeQuery(q.DSL)
	if err != nil {
		return all
	}
	walkQuery(dsl, func(r *jsonRange) { all = append(all, r.span()) }, func(t *jsonText) { all = append(all, scanLucene(t.text).spans...) })
	return all
}
