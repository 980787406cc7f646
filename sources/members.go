package sources

import (
	"bytes"
	"slices"
	"sync"
)

// KeepLast takes out of the JSON text from start on the members that a later one
// of the same name replaces, at every depth, as jsonb does: a sink refuses names
// that come twice. The text must be valid. It costs no memory where there are none.
func KeepLast(dst []byte, start int) []byte {
	names, _ := namePool.Get().(*[]uint64)
	s := memberScanner{text: dst[start:], names: (*names)[:0]}
	s.value()
	*names = s.names
	namePool.Put(names)
	if !s.twice {
		return dst
	}
	end := len(dst)
	dst = appendLast(dst, dst[start:end])
	return dst[:start+copy(dst[start:], dst[end:])]
}

// namePool holds the memory of memberScanners.
var namePool = sync.Pool{New: func() any { return new([]uint64) }}

// fewNames is up to how many names are compared each with each.
const fewNames = 12

// A memberScanner looks for names that may come twice in an object: by their
// hashes, and each that has an escape.
type memberScanner struct {
	text  []byte
	at    int
	names []uint64 // hashes of those of the objects around
	twice bool
}

// value passes over a value and what ends it.
func (s *memberScanner) value() {
	for s.at < len(s.text) && !s.twice {
		switch s.text[s.at] {
		case '{':
			s.object()
			return
		case '[':
			s.at++
			for s.at < len(s.text) && s.text[s.at] != ']' && !s.twice {
				s.value()
				for s.at < len(s.text) && (s.text[s.at] == ',' || s.text[s.at] <= ' ') {
					s.at++
				}
			}
			s.at++
			return
		case '"':
			s.at = stringEnd(s.text, s.at)
			return
		case ',', ']', '}':
			return
		}
		s.at++
	}
}

func (s *memberScanner) object() {
	before := len(s.names)
	for s.at++; s.at < len(s.text) && !s.twice; {
		switch s.text[s.at] {
		case '}':
			s.at++
			s.twice = s.twice || repeats(s.names[before:])
			s.names = s.names[:before]
			return
		case '"':
			s.name()
			s.value()
		default:
			s.at++
		}
	}
}

// name passes over a name and the colon behind it, and keeps its FNV-1a hash.
func (s *memberScanner) name() {
	h := uint64(14695981039346656037)
	for s.at++; s.at < len(s.text); s.at++ {
		c := s.text[s.at]
		if c == '"' {
			break
		}
		if c == '\\' {
			s.twice = true
			return
		}
		h = (h ^ uint64(c)) * 1099511628211
	}
	s.names = append(s.names, h)
	s.at = blank(s.text, s.at+1) + 1
}

func repeats(names []uint64) bool {
	if len(names) > fewNames {
		slices.Sort(names)
		for i := 1; i < len(names); i++ {
			if names[i] == names[i-1] {
				return true
			}
		}
		return false
	}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return true
		}
	}
	return false
}

// appendLast appends a value without the members that later ones replace.
func appendLast(dst, value []byte) []byte {
	w := WalkJSON(value)
	if w.Failed { // neither an array nor an object
		return append(dst, bytes.TrimSpace(value)...)
	}
	open, end := byte('['), byte(']')
	last := map[string]int{}
	if w.Object {
		open, end = '{', '}'
		for names := w; names.Next(); {
			last[unquote(names.Name())] = names.from
		}
	}
	for dst = append(dst, open); w.Next(); {
		if w.Object && last[unquote(w.Name())] != w.from {
			continue
		}
		if dst[len(dst)-1] != open {
			dst = append(dst, ',')
		}
		if w.Object {
			dst = append(append(dst, w.Name()...), ':')
		}
		dst = appendLast(dst, w.Value())
	}
	return append(dst, end)
}
