package sources

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Why a patch cannot be applied.
var (
	errPatch     = errors.New("the change of a part of a JSON value is not as expected")
	errPatchPath = errors.New("a part of a JSON value was changed that the value does not have")
	errPatchOld  = errors.New("the JSON value that a part was changed of is not JSON")
)

// ApplyPatch appends the JSON text that a patch (see Row.Patch) makes of an old
// one. A path that leads nowhere is an error.
//
// A patch is JSON, too: an array of what to do, one after the other.
//
//	["replace", path, value]  puts another value where there is one
//	["insert", path, value]   adds an array's element, in front of the one that is there or at the end, or an object's member
//	["remove", path]          takes an element or a member out
//
// A path is an array that leads from the whole document to the value: names
// are members, numbers elements; those below 0 count from an array's end, -1
// being the last element. Element 0 or -1 of what is no array is the value
// itself.
//
// Objects have their members in the order of the names' lengths, then of their
// bytes, and a space behind each comma and colon, as MySQL writes them.
func ApplyPatch(dst, old, patch []byte) ([]byte, error) {
	p := patcher{text: append(dst, old...), start: len(dst)}
	elements, err := newWalk(patch, 0)
	if err != nil || elements.object {
		return dst, errPatch
	}
	for {
		more, err := elements.next()
		if err != nil {
			return dst, errPatch
		}
		if !more {
			return p.text, nil
		}
		if err := p.apply(patch[elements.from:elements.to]); err != nil {
			return dst, err
		}
	}
}

// A patcher changes the text from start on.
type patcher struct {
	text  []byte
	start int
}

// apply does one thing of a patch.
func (p *patcher) apply(operation []byte) error {
	var parts [3][]byte
	n := 0
	elements, err := newWalk(operation, 0)
	if err != nil || elements.object {
		return errPatch
	}
	for ; ; n++ {
		more, err := elements.next()
		if err != nil || more && n == len(parts) {
			return errPatch
		}
		if !more {
			break
		}
		parts[n] = operation[elements.from:elements.to]
	}
	verb, value := string(parts[0]), parts[2]
	if known := verb == `"replace"` || verb == `"insert"` || verb == `"remove"`; !known || (value == nil) != (verb == `"remove"`) {
		return errPatch
	}
	if verb == `"replace"` {
		from, to, err := p.find(parts[1], false)
		if err == nil {
			p.text = slices.Replace(p.text, from, to, value...)
		}
		return err
	}
	from, _, err := p.find(parts[1], true)
	if err != nil {
		return err
	}
	last, err := lastLeg(parts[1])
	if err != nil {
		return err
	}
	if verb == `"remove"` {
		return p.remove(from, last)
	}
	return p.insert(from, last, value)
}

// A leg is one step of a path.
type leg struct {
	name  []byte // quoted; nil: an element
	index int
}

func parseLeg(text []byte) (leg, error) {
	if len(text) > 0 && text[0] == '"' {
		return leg{name: text}, nil
	}
	index, err := strconv.Atoi(string(text))
	if err != nil {
		return leg{}, errPatch
	}
	return leg{index: index}, nil
}

func lastLeg(path []byte) (leg, error) {
	w, err := newWalk(path, 0)
	if err != nil {
		return leg{}, errPatch
	}
	var last []byte
	for {
		more, err := w.next()
		if err != nil {
			return leg{}, errPatch
		}
		if !more {
			return parseLeg(last) // without any the document itself, which cannot come or go
		}
		last = path[w.from:w.to]
	}
}

// find returns where the value that a path leads to begins and ends, or the
// array or object that it is in.
func (p *patcher) find(path []byte, container bool) (from, to int, err error) {
	from = blank(p.text, p.start)
	if to, err = skipValue(p.text, from); err != nil {
		return 0, 0, errPatchOld
	}
	legs, err := newWalk(path, 0)
	if err != nil || legs.object {
		return 0, 0, errPatch
	}
	more, err := legs.next()
	for more && err == nil {
		text := path[legs.from:legs.to]
		if more, err = legs.next(); !more && container {
			break
		}
		var l leg
		if l, err = parseLeg(text); err != nil {
			return 0, 0, err
		}
		if from, to, err = p.step(from, to, l); err != nil {
			return 0, 0, err
		}
	}
	if err != nil {
		return 0, 0, errPatch
	}
	return from, to, nil
}

// step goes from a value to one in it.
func (p *patcher) step(from, to int, l leg) (int, int, error) {
	if p.text[from] != '[' && l.name == nil && (l.index == 0 || l.index == -1) {
		return from, to, nil
	}
	w, at, err := p.locate(from, l)
	if err != nil {
		return 0, 0, err
	}
	if at < 0 {
		return 0, 0, errPatchPath
	}
	return w.value, w.to, nil
}

// locate finds an element or member of the array or object at from. Where there
// is none, at is -1, and the walk stands behind the last one.
func (p *patcher) locate(from int, l leg) (w walk, at int, err error) {
	w, err = newWalk(p.text, from)
	if err != nil || w.object != (l.name != nil) {
		return w, -1, errPatchPath
	}
	index := l.index
	if l.name == nil && index < 0 {
		count, err := w.count()
		if err != nil {
			return w, -1, errPatchOld
		}
		index += count
	}
	for n := 0; ; n++ {
		more, err := w.next()
		if err != nil {
			return w, -1, errPatchOld
		}
		if !more {
			return w, -1, nil
		}
		if l.name == nil && n == index || l.name != nil && order(p.text[w.from:w.nameEnd], l.name) == 0 {
			return w, n, nil
		}
	}
}

// remove takes an element or member out, with the comma beside it.
func (p *patcher) remove(container int, l leg) error {
	w, at, err := p.locate(container, l)
	if err != nil {
		return err
	}
	if at < 0 {
		return errPatchPath
	}
	from, to := w.from, w.to
	switch more, err := w.next(); {
	case err != nil:
		return errPatchOld
	case more:
		to = w.from
	case at > 0:
		from = w.before
	}
	p.text = slices.Delete(p.text, from, to)
	return nil
}

// insert adds an element or member.
func (p *patcher) insert(container int, l leg, value []byte) error {
	if l.index < 0 {
		w, err := newWalk(p.text, container)
		if err != nil {
			return errPatchPath
		}
		count, err := w.count()
		if err != nil {
			return errPatchOld
		}
		l.index = max(l.index+count, 0)
	}
	w, at, err := p.locate(container, l)
	if err != nil {
		return err
	}
	item := value
	if l.name != nil {
		if at >= 0 {
			return errPatchPath
		}
		item = slices.Concat(l.name, []byte(": "), value)
		if w, at, err = p.behind(container, l.name); err != nil {
			return err
		}
	}
	switch {
	case at >= 0:
		p.text = slices.Insert(p.text, w.from, append(slices.Clone(item), ", "...)...)
	case w.to > 0:
		p.text = slices.Insert(p.text, w.to, append([]byte(", "), item...)...)
	default:
		p.text = slices.Insert(p.text, container+1, item...)
	}
	return nil
}

// behind finds the member of an object that comes after one of the given name.
func (p *patcher) behind(container int, name []byte) (w walk, at int, err error) {
	if w, err = newWalk(p.text, container); err != nil {
		return w, -1, errPatchOld
	}
	for n := 0; ; n++ {
		more, err := w.next()
		switch {
		case err != nil:
			return w, -1, errPatchOld
		case !more:
			return w, -1, nil
		case order(p.text[w.from:w.nameEnd], name) > 0:
			return w, n, nil
		}
	}
}

// order compares two quoted names.
func order(a, b []byte) int {
	if bytes.Equal(a, b) {
		return 0
	}
	if bytes.IndexByte(a, '\\') >= 0 || bytes.IndexByte(b, '\\') >= 0 {
		a, b = unquote(a), unquote(b)
	}
	return cmp.Or(cmp.Compare(len(a), len(b)), bytes.Compare(a, b))
}

// A walk goes through the elements or members of an array or object.
type walk struct {
	text     []byte
	object   bool
	from, to int // of the element, or the member with its name; to is 0 before the first
	before   int // where the one before it ends
	nameEnd  int // of a member
	value    int // where the value begins
	at       int // what comes next
	comma    bool
}

// newWalk goes through the array or object that begins at from.
func newWalk(text []byte, from int) (walk, error) {
	from = blank(text, from)
	if from >= len(text) || text[from] != '[' && text[from] != '{' {
		return walk{}, errPatch
	}
	return walk{text: text, object: text[from] == '{', at: from + 1}, nil
}

// next goes to the next one; false: there is none, and from and to stay at the last.
func (w *walk) next() (bool, error) {
	at := blank(w.text, w.at)
	end := byte(']')
	if w.object {
		end = '}'
	}
	if at >= len(w.text) {
		return false, errPatch
	}
	if w.text[at] == end {
		return false, nil
	}
	if w.comma {
		if w.text[at] != ',' {
			return false, errPatch
		}
		at = blank(w.text, at+1)
	}
	from, value, nameEnd := at, at, at
	if w.object {
		var err error
		if at >= len(w.text) || w.text[at] != '"' {
			return false, errPatch
		}
		if nameEnd, err = skipValue(w.text, at); err != nil {
			return false, err
		}
		at = blank(w.text, nameEnd)
		if at >= len(w.text) || w.text[at] != ':' {
			return false, errPatch
		}
		value = blank(w.text, at+1)
	}
	to, err := skipValue(w.text, value)
	if err != nil {
		return false, err
	}
	w.before, w.from, w.to, w.nameEnd, w.value, w.at, w.comma = w.to, from, to, nameEnd, value, to, true
	return true, nil
}

// count is how many there are from here on.
func (w *walk) count() (n int, err error) {
	for rest := *w; ; {
		more, err := rest.next()
		if !more || err != nil {
			return n, err
		}
		n++
	}
}

func blank(text []byte, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r') {
		at++
	}
	return at
}

// skipValue returns where the value that begins at from ends. It looks at no
// more than that takes.
func skipValue(text []byte, from int) (int, error) {
	depth := 0
	for at := from; at < len(text); {
		switch text[at] {
		case '"':
			end := at + 1
			for end < len(text) && text[end] != '"' {
				if text[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(text) {
				return 0, errPatch
			}
			at = end + 1
		case '[', '{':
			depth++
			at++
		case ']', '}':
			depth--
			at++
		case ',', ':', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return 0, errPatch
			}
			at++
			continue
		default:
			for at < len(text) && strings.IndexByte(",:]}[{\" \t\n\r", text[at]) < 0 {
				at++
			}
		}
		switch {
		case depth < 0:
			return 0, errPatch
		case depth == 0:
			return at, nil
		}
	}
	return 0, errPatch
}

// unquote is what a JSON string says, in quotes still.
func unquote(quoted []byte) []byte {
	out := make([]byte, 0, len(quoted))
	for i := 0; i < len(quoted); i++ {
		c := quoted[i]
		if c != '\\' || i+1 == len(quoted) {
			out = append(out, c)
			continue
		}
		i++
		switch c := quoted[i]; c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := hexRune(quoted[i+1:])
			i += 4
			if utf16.IsSurrogate(r) && i+2 < len(quoted) && quoted[i+1] == '\\' && quoted[i+2] == 'u' {
				r = utf16.DecodeRune(r, hexRune(quoted[i+3:]))
				i += 6
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, c)
		}
	}
	return out
}

func hexRune(digits []byte) rune {
	n, err := strconv.ParseUint(string(digits[:min(4, len(digits))]), 16, 32)
	if err != nil {
		return utf8.RuneError
	}
	return rune(n)
}
