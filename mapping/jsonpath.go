package mapping

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// findJSON returns the value that path leads to within a JSON text, as it is
// written there; nil where there is none or it is null. A step is an object's
// key or an array's index from 0. Of equal keys the last wins, as in PostgreSQL.
// The text must be valid JSON, as the database gives it.
func findJSON(text []byte, path []string) []byte {
	for _, step := range path {
		text = text[skipSpace(text, 0):]
		if len(text) == 0 {
			return nil
		}
		switch text[0] {
		case '{':
			text = member(text, step)
		case '[':
			text = element(text, step)
		default:
			return nil
		}
		if text == nil {
			return nil
		}
	}
	text = bytes.TrimSpace(text)
	if string(text) == "null" {
		return nil
	}
	return text
}

// member returns the value of key in the object that text begins with.
func member(text []byte, key string) []byte {
	var found []byte
	i := skipSpace(text, 1)
	for i < len(text) && text[i] == '"' {
		nameEnd := skipValue(text, i)
		name := text[i:nameEnd]
		start := skipSpace(text, skipSpace(text, nameEnd)+1) // after the colon
		end := skipValue(text, start)
		if isString(name, key) {
			found = text[start:end]
		}
		if i = skipSpace(text, end); i < len(text) && text[i] == ',' {
			i = skipSpace(text, i+1)
		}
	}
	return found
}

// element returns the value at index step of the array that text begins with.
func element(text []byte, step string) []byte {
	n, err := strconv.Atoi(step)
	if err != nil || n < 0 {
		return nil
	}
	i := skipSpace(text, 1)
	for i < len(text) && text[i] != ']' {
		end := skipValue(text, i)
		if n == 0 {
			return text[i:end]
		}
		n--
		if i = skipSpace(text, end); i < len(text) && text[i] == ',' {
			i = skipSpace(text, i+1)
		}
	}
	return nil
}

// isString reports whether the JSON string quoted stands for s.
func isString(quoted []byte, s string) bool {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return len(quoted) >= 2 && string(quoted[1:len(quoted)-1]) == s
	}
	var plain string
	return json.Unmarshal(quoted, &plain) == nil && plain == s
}

func skipSpace(text []byte, i int) int {
	for i = min(i, len(text)); i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r'); {
		i++
	}
	return i
}

// skipValue returns where the value that begins at i ends.
func skipValue(text []byte, i int) int {
	depth := 0
	for ; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return min(i+1, len(text))
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}
