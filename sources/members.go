package sources

import (
	"bytes"
	"encoding/json"
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
	dst, _ = appendLast(dst, dst[start:end], 0)
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
	s.at = skipBlanks(s.text, s.at+1) + 1
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

// stringEnd returns where the JSON string that begins at i ends.
func stringEnd(text []byte, i int) int {
	for i++; i < len(text); {
		n := bytes.IndexByte(text[i:], '"')
		if n < 0 {
			break
		}
		slashes := 0
		for n > slashes && text[i+n-1-slashes] == '\\' {
			slashes++
		}
		if i += n + 1; slashes%2 == 0 {
			return i
		}
	}
	return len(text)
}

// A member of an object, as spans of the text.
type member struct {
	name       string
	start, end int // of the quoted name
	value      int
}

// appendLast appends the value at text[i:] without the members that later ones
// replace, and returns where the value ends.
func appendLast(dst, text []byte, i int) ([]byte, int) {
	i = skipBlanks(text, i)
	if i >= len(text) {
		return dst, i
	}
	switch text[i] {
	case '"':
		end := stringEnd(text, i)
		return append(dst, text[i:end]...), end
	case '[':
		dst, i = append(dst, '['), skipBlanks(text, i+1)
		for i < len(text) && text[i] != ']' {
			dst, i = appendLast(dst, text, i)
			if i = skipBlanks(text, i); i < len(text) && text[i] == ',' {
				dst, i = append(dst, ','), skipBlanks(text, i+1)
			}
		}
		return append(dst, ']'), i + 1
	case '{':
		members, end := membersOf(text, i)
		dst = append(dst, '{')
		for n, m := range members {
			if n > 0 {
				dst = append(dst, ',')
			}
			dst, _ = appendLast(append(append(dst, text[m.start:m.end]...), ':'), text, m.value)
		}
		return append(dst, '}'), end
	}
	end := i
	for end < len(text) && text[end] > ' ' && text[end] != ',' && text[end] != ']' && text[end] != '}' {
		end++
	}
	return append(dst, text[i:end]...), end
}

// membersOf lists the members of the object at text[i:] that count, each at the
// place of the last one of its name, and returns where the object ends.
func membersOf(text []byte, i int) (members []member, end int) {
	last := map[string]int{}
	for i = skipBlanks(text, i+1); i < len(text) && text[i] == '"'; {
		m := member{start: i, end: stringEnd(text, i)}
		if json.Unmarshal(text[m.start:m.end], &m.name) != nil {
			m.name = string(text[m.start:m.end])
		}
		m.value = skipBlanks(text, m.end) + 1 // after the colon
		i = skipBlanks(text, valueEnd(text, m.value))
		members = append(members, m)
		last[m.name] = m.start
		if i < len(text) && text[i] == ',' {
			i = skipBlanks(text, i+1)
		}
	}
	return slices.DeleteFunc(members, func(m member) bool { return last[m.name] != m.start }), i + 1
}

// valueEnd returns where the value at text[i:] ends.
func valueEnd(text []byte, i int) int {
	depth := 0
	for i = skipBlanks(text, i); i < len(text); {
		switch text[i] {
		case '"':
			i = stringEnd(text, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i
			}
			if depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return i
}

func skipBlanks(text []byte, i int) int {
	for i < len(text) && text[i] <= ' ' {
		i++
	}
	return i
}
