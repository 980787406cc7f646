package django

import (
	"html"
	"strings"
)

// An htmlReader is called for what an htmlScanner finds.
type htmlReader interface {
	data(text string)
	entity(text string) // as written, with a semicolon
	start(raw, name string, empty bool)
	end(name string)
}

// An htmlScanner reads HTML as Python's html.parser does: tags that are not closed,
// or no tags at all, are text.
type htmlScanner struct {
	text     string
	decode   bool   // character references are decoded, and no calls of entity made
	verbatim string // the element that is read whose content is no HTML
	to       htmlReader
	done     func() bool // nothing more is wanted
}

// scan reads from a place on and returns where it stops: at what is not complete,
// unless this is the end.
func (p *htmlScanner) scan(i int, end bool) int {
	n := len(p.text)
	for i < n && !p.done() {
		j, ok := p.interesting(i)
		if !ok {
			break
		}
		if i < j {
			p.emit(p.text[i:j])
		}
		if i = j; i == n || p.done() {
			break
		}
		var next int
		if p.text[i] == '<' {
			next = p.markup(i, end)
		} else {
			next = p.reference(i, end)
		}
		if next <= i {
			i = -next
			break
		}
		i = next
	}
	if end && i < n && p.verbatim == "" && !p.done() {
		p.emit(p.text[i:])
		i = n
	}
	return i
}

// emit hands on text.
func (p *htmlScanner) emit(text string) {
	if p.decode && p.verbatim == "" {
		text = html.UnescapeString(text)
	}
	p.to.data(text)
}

// interesting is where something may begin from i on; false where more has to come.
func (p *htmlScanner) interesting(i int) (int, bool) {
	n := len(p.text)
	switch {
	case p.verbatim != "":
		for j := i; ; j++ {
			at := strings.Index(p.text[j:], "</")
			if at < 0 {
				return i, false
			}
			j += at
			rest := strings.TrimLeft(p.text[j+2:], htmlSpace)
			if len(rest) > len(p.verbatim) && strings.EqualFold(rest[:len(p.verbatim)], p.verbatim) && strings.HasPrefix(strings.TrimLeft(rest[len(p.verbatim):], htmlSpace), ">") {
				return j, true
			}
		}
	case p.decode:
		if j := strings.IndexByte(p.text[i:], '<'); j >= 0 {
			return i + j, true
		}
		tail := p.text[max(i, n-34):]
		if at := strings.LastIndexByte(tail, '&'); at >= 0 && strings.IndexFunc(tail[at:], func(r rune) bool { return r == ';' || isSpace(r) }) < 0 {
			return i, false // it may be cut off
		}
	default:
		if j := strings.IndexAny(p.text[i:], "<&"); j >= 0 {
			return i + j, true
		}
	}
	return n, true
}

// htmlSpace is what \s is in ASCII.
const htmlSpace = " \t\n\r\f\v\x1c\x1d\x1e\x1f"

func isLetter(c byte) bool { return c|' ' >= 'a' && c|' ' <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// markup reads what begins with < and returns its end; minus the place to stop at
// where it is not complete.
func (p *htmlScanner) markup(i int, end bool) int {
	rest := p.text[i:]
	var k int
	switch {
	case len(rest) > 1 && isLetter(rest[1]):
		k = p.startTag(i)
	case strings.HasPrefix(rest, "</"):
		k = p.endTag(i)
	case strings.HasPrefix(rest, "<!--"):
		k = after(p.text, i+4, func(s string) int { return closing(s, "--", ">") })
	case strings.HasPrefix(rest, "<?"):
		k = after(p.text, i+2, func(s string) int { return strings.IndexByte(s, '>') + 1 })
	case strings.HasPrefix(rest, "<!["):
		k = after(p.text, i+3, sectionEnd)
	case strings.HasPrefix(rest, "<!"):
		k = after(p.text, i+2, func(s string) int { return strings.IndexByte(s, '>') + 1 })
	case len(rest) > 1:
		p.to.data("<")
		return i + 1
	default:
		return -i
	}
	if k >= 0 {
		return k
	}
	if !end {
		return -i
	}
	k = i + 1
	if at := strings.IndexByte(p.text[i+1:], '>'); at >= 0 {
		k += at + 1
	} else if at := strings.IndexByte(p.text[i+1:], '<'); at >= 0 {
		k += at
	}
	p.emit(p.text[i:k])
	return k
}

// after is where find ends in the text behind a place; -1 where it finds nothing.
func after(text string, from int, find func(string) int) int {
	if from > len(text) {
		return -1
	}
	if n := find(text[from:]); n > 0 {
		return from + n
	}
	return -1
}

// closing is where a text ends whose parts may have spaces between them; 0 for nowhere.
func closing(s string, parts ...string) int {
	for i := 0; ; i++ {
		at := strings.Index(s[i:], parts[0])
		if at < 0 {
			return 0
		}
		i += at
		rest, ok := s[i+len(parts[0]):], true
		for _, part := range parts[1:] {
			rest, ok = strings.CutPrefix(strings.TrimLeft(rest, htmlSpace), part)
			if !ok {
				break
			}
		}
		if ok {
			return len(s) - len(rest)
		}
	}
}

// sectionEnd is where <![ ends: with ]> or ]]>, or as any other declaration.
func sectionEnd(s string) int {
	n := 0
	for n < len(s) && (isLetter(s[n]) || isDigit(s[n])) {
		n++
	}
	switch strings.ToLower(s[:n]) {
	case "temp", "cdata", "ignore", "include", "rcdata":
		return closing(s, "]", "]", ">")
	case "if", "else", "endif":
		return closing(s, "]", ">")
	}
	return strings.IndexByte(s, '>') + 1
}

// tagName is how long the name of a tag is.
func tagName(s string) int {
	n := strings.IndexAny(s, "\t\n\r\f />\x00")
	if n < 0 {
		return len(s)
	}
	return n
}

// startTag reads a start tag.
func (p *htmlScanner) startTag(i int) int {
	s := p.text
	name := i + 1 + tagName(s[i+1:])
	j := name
	for j < len(s) && strings.IndexByte(htmlSpace+"/", s[j]) >= 0 {
		j++
	}
	j = skipSpaces(s, attributesEnd(s, j))
	switch {
	case j >= len(s):
		return -1
	case s[j] == '>':
		j++
	case s[j] == '/' && strings.HasPrefix(s[j:], "/>"):
		j += 2
	case s[j] == '/' || s[j] == '=' || isLetter(s[j]):
		return -1
	}
	k := attributesEnd(s[:j], skipSlashes(s, name))
	raw, tag := s[i:j], strings.ToLower(s[i+1:name])
	switch strings.Trim(s[min(k, j):j], htmlSpace) {
	case ">":
		p.to.start(raw, tag, false)
		if tag == "script" || tag == "style" {
			p.verbatim = tag
		}
	case "/>":
		p.to.start(raw, tag, true)
	default:
		p.to.data(raw)
	}
	return j
}

func skipSpaces(s string, i int) int {
	for i < len(s) && strings.IndexByte(htmlSpace, s[i]) >= 0 {
		i++
	}
	return i
}

// skipSlashes skips spaces and slashes, but not the slash of />.
func skipSlashes(s string, i int) int {
	for i < len(s) && (strings.IndexByte(htmlSpace, s[i]) >= 0 || s[i] == '/' && !strings.HasPrefix(s[i:], "/>")) {
		i++
	}
	return i
}

// attributesEnd is where the attributes end that begin at i.
func attributesEnd(s string, i int) int {
	for i < len(s) && i > 0 && strings.IndexByte(htmlSpace+`'"/`, s[i-1]) >= 0 && strings.IndexByte(htmlSpace+"/>", s[i]) < 0 {
		i++
		for i < len(s) && strings.IndexByte(htmlSpace+"/=>", s[i]) < 0 {
			i++
		}
		i = skipSlashes(s, valueEnd(s, i))
	}
	return i
}

// valueEnd is where an attribute's value ends, if there is one behind i.
func valueEnd(s string, i int) int {
	j := skipSpaces(s, i)
	equals := j
	for j < len(s) && s[j] == '=' {
		j++
	}
	if j == equals {
		return i
	}
	unspaced := j
	j = skipSpaces(s, j)
	if j < len(s) && (s[j] == '\'' || s[j] == '"') {
		if n := strings.IndexByte(s[j+1:], s[j]); n >= 0 {
			return skipSpaces(s, j+1+n+1)
		}
		if j > unspaced {
			return j // an empty value, and the quote begins a name
		}
		return i
	}
	for j < len(s) && s[j] != '>' && strings.IndexByte(htmlSpace, s[j]) < 0 {
		j++
	}
	return j
}

// endTag reads an end tag.
func (p *htmlScanner) endTag(i int) int {
	s := p.text
	at := strings.IndexByte(s[i+1:], '>')
	if at < 0 {
		return -1
	}
	end := i + 1 + at + 1
	start := skipSpaces(s, i+2)
	n := start
	for n < len(s) && (isLetter(s[n]) || n > start && (isDigit(s[n]) || strings.IndexByte("-.:_", s[n]) >= 0)) {
		n++
	}
	if n > start && strings.HasPrefix(s[skipSpaces(s, n):], ">") {
		name := strings.ToLower(s[start:n])
		if p.verbatim != "" && name != p.verbatim {
			p.to.data(s[i:end])
			return end
		}
		p.to.end(name)
		p.verbatim = ""
		return end
	}
	switch {
	case p.verbatim != "":
		p.to.data(s[i:end])
		return end
	case i+2 >= len(s) || !isLetter(s[i+2]): // a comment of sorts
		return end
	}
	n = i + 2 + tagName(s[i+2:])
	name := strings.ToLower(s[i+2 : n])
	end = n + strings.IndexByte(s[n:], '>') + 1
	p.to.end(name)
	return end
}

// reference reads what begins with &.
func (p *htmlScanner) reference(i int, end bool) int {
	rest := p.text[i:]
	if strings.HasPrefix(rest, "&#") {
		if n := numericReference(rest); n > 0 {
			p.to.entity(rest[:n] + ";")
			return i + n + len(rest[n:]) - len(strings.TrimPrefix(rest[n:], ";"))
		}
		if strings.Contains(rest, ";") {
			p.to.data("&#")
			return -(i + 2)
		}
		return -i
	}
	if n := namedReference(rest); n > 0 {
		p.to.entity(rest[:n] + ";")
		return i + n + len(rest[n:]) - len(strings.TrimPrefix(rest[n:], ";"))
	}
	switch {
	case len(rest) > 1 && isLetter(rest[1]):
		if end && len(rest) == 2 {
			return -(i + 1)
		}
		return -i
	case len(rest) > 1:
		p.to.data("&")
		return i + 1
	}
	return -i
}

// numericReference is how long &#123 or &#x7b is, with something behind it that does
// not belong to it.
func numericReference(s string) int {
	n, digits := 2, "0123456789"
	if len(s) > 2 && s[2]|' ' == 'x' {
		n, digits = 3, "0123456789abcdefABCDEF"
	}
	start := n
	for n < len(s) && strings.IndexByte(digits, s[n]) >= 0 {
		n++
	}
	if n == start || n == len(s) || isDigit(s[n]) || s[n]|' ' >= 'a' && s[n]|' ' <= 'f' {
		return 0
	}
	return n
}

// namedReference is how long &name is, with something behind it that does not belong to it.
func namedReference(s string) int {
	if len(s) < 2 || !isLetter(s[1]) {
		return 0
	}
	n := 2
	for n < len(s) && (isLetter(s[n]) || isDigit(s[n]) || s[n] == '-' || s[n] == '.') {
		n++
	}
	if n < len(s) {
		return n
	}
	for n--; n > 1 && (isLetter(s[n]) || isDigit(s[n])); { // it ends before a dash or dot
		n--
	}
	if n == 1 {
		return 0
	}
	return n
}

// A tagStripper keeps text.
type tagStripper struct{ out strings.Builder }

func (t *tagStripper) data(text string)           { t.out.WriteString(text) }
func (t *tagStripper) entity(text string)         { t.out.WriteString(text) }
func (t *tagStripper) start(string, string, bool) {}
func (t *tagStripper) end(string)                 {}

// mostStrips is how often tags are stripped that only came about by that.
const mostStrips = 50

// stripTags strips HTML's tags and comments.
func stripTags(s string) string {
	for range mostStrips {
		if !strings.Contains(s, "<") || !strings.Contains(s, ">") {
			break
		}
		stripper := &tagStripper{}
		p := &htmlScanner{text: s, to: stripper, done: func() bool { return false }}
		p.scan(p.scan(0, false), true)
		stripped := stripper.out.String()
		if strings.Count(stripped, "<") == strings.Count(s, "<") {
			break
		}
		s = stripped
	}
	return s
}

// A truncater cuts HTML and closes what is open.
type truncater struct {
	out      strings.Builder
	length   int // of the whole in characters
	seen     int
	most     int // characters, where these count
	left     int // pieces
	words    bool
	ending   string
	open     []string
	finished bool
}

func (t *truncater) entity(string) {}

func (t *truncater) start(raw, name string, empty bool) {
	t.out.WriteString(raw)
	if isVoid(name) {
		return
	}
	t.open = append(t.open, name)
	if empty {
		t.end(name)
	}
}

func (t *truncater) end(name string) {
	if isVoid(name) {
		return
	}
	t.out.WriteString("</" + name + ">")
	if n := len(t.open); n > 0 && t.open[n-1] == name {
		t.open = t.open[:n-1]
	}
}

func (t *truncater) data(text string) {
	pieces := []string{}
	if t.words {
		pieces = splitBetween(text)
	} else {
		count := runes(text)
		if t.seen += count; t.seen == t.most && runes(t.out.String())+count == t.length {
			t.out.WriteString(text)
			t.finished = true
			return
		}
		for _, r := range text {
			pieces = append(pieces, string(r))
		}
	}
	between := ""
	if t.words {
		between = " "
	}
	kept := escapeText(strings.Join(pieces[:min(len(pieces), t.left)], between))
	if t.left < len(pieces) {
		t.out.WriteString(withEllipsis(kept, t.ending))
		t.finished = true
		return
	}
	t.left -= len(pieces)
	t.out.WriteString(kept)
}

// splitBetween splits text at spaces that have something on either side.
func splitBetween(s string) []string {
	words := fields(s)
	if len(words) == 0 {
		return []string{s}
	}
	head := s[:strings.Index(s, words[0])]
	tail := s[len(strings.TrimRightFunc(s, isSpace)):]
	words[0] = head + words[0]
	words[len(words)-1] += tail
	return words
}

func isVoid(name string) bool {
	switch name {
	case "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr", "frame", "spacer":
		return true
	}
	return false
}

func (t *truncater) cut(s string) string {
	t.length = runes(s)
	p := &htmlScanner{text: s, decode: true, to: t, done: func() bool { return t.finished }}
	p.scan(0, false)
	if t.finished {
		for i := len(t.open) - 1; i >= 0; i-- {
			t.out.WriteString("</" + t.open[i] + ">")
		}
	}
	return t.out.String()
}

func truncateHTMLChars(s string, n int) string {
	if n <= 0 {
		return ""
	}
	return (&truncater{most: n, left: n - 1, ending: ellipsis}).cut(s)
}

func truncateHTMLWords(s string, n int) string {
	if n <= 0 {
		return ""
	}
	return (&truncater{words: true, left: n, ending: " " + ellipsis}).cut(s)
}
