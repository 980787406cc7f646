package sources

import (
	"bytes"
	"encoding/json"
	"strings"
)

// A Walk goes through the elements of a JSON array, or the members of an object.
// It looks at no more of the text than that takes, and costs no memory.
type Walk struct {
	Object bool
	Failed bool // the text is not as JSON has it

	text     []byte
	from, to int // of the element, or the member with its name; to is 0 before the first
	before   int // where the one before it ends
	nameEnd  int // of a member
	value    int // where the value begins
	at       int // what comes next
	end      byte
}

// WalkJSON goes through the array or object that text begins with: Next goes to the
// first element or member. A text that begins with neither has none, and has Failed.
func WalkJSON(text []byte) Walk { return walkFrom(text, 0) }

func walkFrom(text []byte, from int) Walk {
	from = blank(text, from)
	if from >= len(text) || text[from] != '[' && text[from] != '{' {
		return Walk{Failed: true}
	}
	return Walk{text: text, Object: text[from] == '{', at: from + 1, end: text[from] + 2}
}

// Next goes to the next element or member. It returns false, and stays at the last, where there is none.
func (w *Walk) Next() bool {
	at := blank(w.text, w.at)
	if w.Failed || w.has(at, w.end) {
		return false
	}
	if w.to > 0 {
		at = blank(w.text, w.expect(at, ','))
	}
	from, nameEnd, value := at, at, at
	if w.Object {
		w.Failed = w.Failed || !w.has(at, '"')
		nameEnd = w.skip(at)
		value = blank(w.text, w.expect(blank(w.text, nameEnd), ':'))
	}
	if to := w.skip(value); !w.Failed {
		w.before, w.from, w.to, w.nameEnd, w.value, w.at = w.to, from, to, nameEnd, value, to
	}
	return !w.Failed
}

func (w *Walk) has(at int, c byte) bool { return at < len(w.text) && w.text[at] == c }

// expect is what follows a byte.
func (w *Walk) expect(at int, c byte) int {
	w.Failed = w.Failed || !w.has(at, c)
	return at + 1
}

// skip is what follows a value.
func (w *Walk) skip(at int) int {
	end := skipValue(w.text, at)
	w.Failed = w.Failed || end < 0
	return max(at, end)
}

// Name is the member's name, in its quotes.
func (w *Walk) Name() []byte { return w.text[w.from:w.nameEnd] }

// Value is the element, or the member's value.
func (w *Walk) Value() []byte { return w.text[w.value:w.to] }

// count is how many there are from here on, as far as they are JSON.
func (w Walk) count() (n int) {
	for w.Next() {
		n++
	}
	return n
}

// blank returns where something follows, from i on.
func blank(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns where the value that begins at i ends; below 0: nowhere.
func skipValue(text []byte, i int) int {
	for depth := 0; i < len(text); {
		switch text[i] {
		case '"':
			if i = stringEnd(text, i); i > len(text) {
				return -1
			}
		case '[', '{':
			depth++
			i++
		case ']', '}':
			depth--
			i++
		case ',', ':', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return -1
			}
			i++
			continue
		default:
			for i < len(text) && strings.IndexByte(",:]}[{\" \t\n\r", text[i]) < 0 {
				i++
			}
		}
		switch {
		case depth < 0:
			return -1
		case depth == 0:
			return i
		}
	}
	return -1
}

// stringEnd returns where the JSON string that begins at i ends; beyond the text
// where it does not.
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
	return len(text) + 1
}

// unquote is what a JSON string stands for.
func unquote(quoted []byte) (text string) {
	if json.Unmarshal(quoted, &text) != nil {
		return string(quoted)
	}
	return text
}
