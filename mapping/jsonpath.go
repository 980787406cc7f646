package mapping

import (
	"bytes"
	"encoding/json"
	"strconv"

	"haystream/sources"
)

// findJSON returns the value that path leads to within a JSON text, as it is
// written there; nil where there is none or it is null. A step is an object's
// key or an array's index from 0. Of equal keys the last wins, as in PostgreSQL.
// The text must be valid JSON, as the database gives it.
func findJSON(text []byte, path []string) []byte {
	for _, step := range path {
		if text = child(text, step); text == nil {
			return nil
		}
	}
	text = bytes.TrimSpace(text)
	if string(text) == "null" {
		return nil
	}
	return text
}

// child returns the value of an object's member or an array's element.
func child(text []byte, step string) (found []byte) {
	index, err := strconv.Atoi(step)
	w := sources.WalkJSON(text)
	for n := 0; w.Next(); n++ {
		switch {
		case w.Object && isString(w.Name(), step):
			found = w.Value()
		case !w.Object && err == nil && n == index:
			return w.Value()
		}
	}
	return found
}

// isString reports whether the JSON string quoted stands for s.
func isString(quoted []byte, s string) bool {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return len(quoted) >= 2 && string(quoted[1:len(quoted)-1]) == s
	}
	var plain string
	return json.Unmarshal(quoted, &plain) == nil && plain == s
}
