package sources

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strconv"
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
	operations := WalkJSON(patch)
	for !operations.Object && operations.Next() {
		if err := p.apply(operations.Value()); err != nil {
			return dst, err
		}
	}
	if operations.Object || operations.Failed {
		return dst, errPatch
	}
	return p.text, nil
}

// A patcher changes the text from start on.
type patcher struct {
	text  []byte
	start int
}

// apply does one thing of a patch.
func (p *patcher) apply(operation []byte) error {
	var parts [3][]byte
	elements := WalkJSON(operation)
	for n := 0; n < len(parts) && elements.Next(); n++ {
		parts[n] = elements.Value()
	}
	if elements.Object || elements.Next() || elements.Failed {
		return errPatch
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
	w := WalkJSON(path)
	for w.Next() {
	}
	if w.Failed {
		return leg{}, errPatch
	}
	return parseLeg(w.Value()) // without any the document itself, which cannot come or go
}

// find returns where the value that a path leads to begins and ends, or the
// array or object that it is in.
func (p *patcher) find(path []byte, container bool) (from, to int, err error) {
	from = blank(p.text, p.start)
	if to = skipValue(p.text, from); to < 0 {
		return 0, 0, errPatchOld
	}
	legs := WalkJSON(path)
	for more := !legs.Object && legs.Next(); more; {
		text := legs.Value()
		if more = legs.Next(); !more && container {
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
	if legs.Object || legs.Failed {
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
func (p *patcher) locate(from int, l leg) (w Walk, at int, err error) {
	w = walkFrom(p.text, from)
	if w.Failed || w.Object != (l.name != nil) {
		return w, -1, errPatchPath
	}
	index := l.index
	if l.name == nil && index < 0 {
		index += w.count()
	}
	return p.search(w, func(n int, name []byte) bool {
		return l.name == nil && n == index || l.name != nil && order(name, l.name) == 0
	})
}

// search goes to the first one that is wanted. Where there is none, at is -1, and
// the walk stands at the last one.
func (p *patcher) search(w Walk, wanted func(n int, name []byte) bool) (_ Walk, at int, err error) {
	for ; w.Next(); at++ {
		if wanted(at, w.Name()) {
			return w, at, nil
		}
	}
	if w.Failed {
		return w, -1, errPatchOld
	}
	return w, -1, nil
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
	switch more := w.Next(); {
	case w.Failed:
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
		w := walkFrom(p.text, container)
		l.index = max(l.index+w.count(), 0)
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
		w, at, err = p.search(walkFrom(p.text, container), func(_ int, name []byte) bool { return order(name, l.name) > 0 })
		if err != nil {
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

// order compares two quoted names.
func order(a, b []byte) int {
	if bytes.Equal(a, b) {
		return 0
	}
	if bytes.IndexByte(a, '\\') >= 0 || bytes.IndexByte(b, '\\') >= 0 {
		a, b = []byte(unquote(a)), []byte(unquote(b))
	}
	return cmp.Or(cmp.Compare(len(a), len(b)), bytes.Compare(a, b))
}
