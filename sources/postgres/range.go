package postgres

import "bytes"

// rangeConverter makes the converter of ranges: [1,10) is {"gte":1,"lt":10}. A
// bound that is infinite, or that JSON has no value for, is left out; an empty
// range is null (PostgreSQL documentation, "Range Types", section "Range Input/Output").
func rangeConverter(elem columnType) converter {
	return func(dst, text []byte) ([]byte, error) {
		if string(text) == "empty" {
			return append(dst, "null"...), nil
		}
		dst, end, err := appendRange(dst, text, 0, &elem)
		if err != nil || end != len(text) {
			return nil, errText("range", text)
		}
		return dst, nil
	}
}

// multirangeConverter makes the converter of multiranges: {[1,3),[5,8)} is an array of ranges.
// Its element is the range's columnType, whose converter it takes one range at a time.
func multirangeConverter(elem columnType) converter {
	return func(dst, text []byte) ([]byte, error) {
		if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
			return nil, errText("multirange", text)
		}
		dst = append(dst, '[')
		for i := 1; i < len(text)-1; {
			end := rangeEnd(text, i)
			if end < 0 {
				return nil, errText("multirange", text)
			}
			var err error
			if dst, err = elem.appendJSON(dst, text[i:end]); err != nil {
				return nil, err
			}
			if i = end; text[i] == ',' {
				dst, i = append(dst, ','), i+1
			}
		}
		return append(dst, ']'), nil
	}
}

// rangeEnd returns where the range that begins at text[i] ends, or -1.
func rangeEnd(text []byte, i int) int {
	for quoted := false; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ']' || c == ')'):
			return i + 1
		}
	}
	return -1
}

// appendRange appends the range at text[i:] and returns where it ends.
func appendRange(dst, text []byte, i int, elem *columnType) ([]byte, int, error) {
	end := rangeEnd(text, i)
	if end < i+3 {
		return nil, 0, errText("range", text)
	}
	lower, upper := `"gt":`, `"lt":`
	if text[i] == '[' {
		lower = `"gte":`
	}
	if text[end-1] == ']' {
		upper = `"lte":`
	}
	dst = append(dst, '{')
	open := len(dst)
	dst, i, err := appendBound(dst, text, i+1, lower, elem)
	if err != nil {
		return nil, 0, err
	}
	if i >= end || text[i] != ',' {
		return nil, 0, errText("range", text)
	}
	if len(dst) > open {
		dst = append(dst, ',')
	}
	middle := len(dst)
	dst, i, err = appendBound(dst, text, i+1, upper, elem)
	if err != nil {
		return nil, 0, err
	}
	if len(dst) == middle && middle > open {
		dst = dst[:middle-1]
	}
	return append(dst, '}'), i + 1, nil
}

// appendBound appends the bound at text[i:] under its name, unless there is
// none, and returns where it ends.
func appendBound(dst, text []byte, i int, name string, elem *columnType) (_ []byte, end int, err error) {
	start := len(dst)
	dst = append(dst, name...)
	value := len(dst)
	if text[i] == '"' {
		dst, end, err = elem.appendQuoted(dst, text, i)
	} else {
		end = i + bytes.IndexAny(text[i:], ",)]")
		if end > i {
			dst, err = elem.appendJSON(dst, text[i:end])
		}
	}
	if err != nil {
		return nil, 0, err
	}
	if len(dst) == value || string(dst[value:]) == "null" {
		dst = dst[:start]
	}
	return dst, end, nil
}
