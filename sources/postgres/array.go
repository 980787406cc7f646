package postgres

import "bytes"

// arrayConverter makes the converter of arrays, of any number of dimensions and
// with any lower bounds, which it drops (PostgreSQL documentation, "Arrays",
// section "Array Input and Output Syntax").
func arrayConverter(delim byte) func(elem columnType) converter {
	return func(elem columnType) converter {
		return func(dst, text []byte) ([]byte, error) { return appendArray(dst, text, &elem, delim) }
	}
}

func appendArray(dst, text []byte, elem *columnType, delim byte) ([]byte, error) {
	i, depth := 0, 0
	if len(text) > 0 && text[0] == '[' { // [2:4][0:1]={{…
		i = bytes.IndexByte(text, '=') + 1
	}
	for i < len(text) {
		var err error
		switch c := text[i]; c {
		case '{':
			dst, depth, i = append(dst, '['), depth+1, i+1
		case '}':
			dst, depth, i = append(dst, ']'), depth-1, i+1
		case delim:
			dst, i = append(dst, ','), i+1
		default:
			if depth == 0 {
				return nil, errText("array", text)
			}
			dst, i, err = appendElement(dst, text, i, elem, delim)
		}
		if err != nil {
			return nil, err
		}
	}
	if depth != 0 || len(text) < 2 {
		return nil, errText("array", text)
	}
	return dst, nil
}

// appendElement appends the element at text[i:] and returns where it ends.
func appendElement(dst, text []byte, i int, elem *columnType, delim byte) ([]byte, int, error) {
	if text[i] == '"' {
		return elem.appendQuoted(dst, text, i)
	}
	end := i
	for end < len(text) && text[end] != delim && text[end] != '}' {
		end++
	}
	if string(text[i:end]) == "NULL" {
		return append(dst, "null"...), end, nil
	}
	dst, err := elem.appendJSON(dst, text[i:end])
	return dst, end, err
}

// appendQuoted appends as JSON the value in quotes that begins at text[i], and
// returns where it ends. Inside, a backslash escapes the next character and a
// doubled quote is a quote: arrays and hstore print the former, ranges and
// records the latter, and none prints a quote right after a closing one.
func (c *columnType) appendQuoted(dst, text []byte, i int) ([]byte, int, error) {
	begin, end, escaped := i+1, i+1, false
	for ; end < len(text); end++ {
		if text[end] == '\\' {
			escaped = true
			end++
		} else if text[end] == '"' {
			if end+1 == len(text) || text[end+1] != '"' {
				break
			}
			escaped = true
			end++
		}
	}
	if end >= len(text) {
		return nil, 0, errText("quoted value", text)
	}
	if !escaped {
		dst, err := c.appendJSON(dst, text[begin:end])
		return dst, end + 1, err
	}
	start := len(dst)
	dst = appendUnescaped(dst, text[begin:end])
	middle := len(dst)
	dst, err := c.appendJSON(dst, dst[start:middle])
	if err != nil {
		return nil, 0, err
	}
	return cut(dst, start, middle), end + 1, nil
}

func appendUnescaped(dst, text []byte) []byte {
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' || text[i] == '"' {
			i++
		}
		dst = append(dst, text[i])
	}
	return dst
}

// vectorConverter makes the converter of int2vector and oidvector: numbers with
// spaces between them.
func vectorConverter(columnType) converter {
	return func(dst, text []byte) ([]byte, error) {
		dst = append(dst, '[')
		for _, c := range text {
			if c == ' ' {
				c = ','
			}
			dst = append(dst, c)
		}
		return append(dst, ']'), nil
	}
}
