package postgres

import (
	"bytes"

	"haystream/sources"
)

// A recordField is an attribute of a composite type.
type recordField struct {
	key   []byte // as JSON, with the colon
	value columnType
}

// recordConverter makes the converter of a composite type: an object by
// attribute names (PostgreSQL documentation, "Composite Types", section
// "Composite Type Input and Output Syntax").
func recordConverter(fields []recordField) converter {
	return func(dst, text []byte) ([]byte, error) {
		if len(text) < 2 || text[0] != '(' || text[len(text)-1] != ')' {
			return nil, errText("record", text)
		}
		dst = append(dst, '{')
		i := 0 // at the parenthesis or comma before a field
		for n := range fields {
			if n > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, fields[n].key...)
			if i++; i >= len(text) {
				return nil, errText("record", text)
			}
			var err error
			if dst, i, err = fields[n].append(dst, text, i); err != nil {
				return nil, err
			}
		}
		if len(fields) == 0 {
			i++
		}
		if i != len(text)-1 {
			return nil, errText("record", text)
		}
		return append(dst, '}'), nil
	}
}

// append appends the field at text[i:] and returns where it ends.
func (f *recordField) append(dst, text []byte, i int) ([]byte, int, error) {
	if text[i] == '"' {
		return f.value.appendQuoted(dst, text, i)
	}
	end := bytes.IndexAny(text[i:], ",)")
	if end < 0 {
		return nil, 0, errText("record", text)
	}
	if end == 0 {
		return append(dst, "null"...), i, nil
	}
	dst, err := f.value.appendJSON(dst, text[i:i+end])
	return dst, i + end, err
}

// convertHstore turns "a"=>"1", "b"=>NULL into {"a":"1","b":null} (PostgreSQL
// documentation, "hstore"). hstore prints every key and value in quotes.
func convertHstore(dst, text []byte) ([]byte, error) {
	str := columnType{Type: sources.Type{Kind: sources.Text}}
	dst = append(dst, '{')
	for i := 0; i < len(text); {
		if i > 0 {
			if !bytes.HasPrefix(text[i:], []byte(", ")) {
				return nil, errText("hstore", text)
			}
			dst, i = append(dst, ','), i+2
		}
		var err error
		if dst, i, err = str.appendQuoted(dst, text, i); err != nil {
			return nil, err
		}
		value, ok := bytes.CutPrefix(text[i:], []byte("=>"))
		if !ok {
			return nil, errText("hstore", text)
		}
		dst, i = append(dst, ':'), i+2
		if bytes.HasPrefix(value, []byte("NULL")) {
			dst, i = append(dst, "null"...), i+4
		} else if dst, i, err = str.appendQuoted(dst, text, i); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}
