package django

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

var errJSON = errors.New("a value is not JSON")

// readJSON is the value that Python reads from a JSON text. It refers to the text.
func readJSON(text string) (Value, error) {
	p := jsonParser{text}
	v, err := p.value()
	if p.space(); err == nil && p.rest != "" {
		err = errJSON
	}
	return v, err
}

type jsonParser struct{ rest string }

func (p *jsonParser) space() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// take goes past one of two characters, with spaces around, and reports which.
func (p *jsonParser) take(a, b byte) (byte, error) {
	p.space()
	if p.rest == "" || p.rest[0] != a && p.rest[0] != b {
		return 0, errJSON
	}
	c := p.rest[0]
	p.rest = p.rest[1:]
	p.space()
	return c, nil
}

func (p *jsonParser) value() (Value, error) {
	p.space()
	if p.rest == "" {
		return Value{}, errJSON
	}
	switch p.rest[0] {
	case '{':
		return p.dict()
	case '[':
		return p.list()
	case '"':
		s, err := p.string()
		return Text(s), err
	}
	end := strings.IndexAny(p.rest, ",]} \t\r\n")
	if end < 0 {
		end = len(p.rest)
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	switch word {
	case "null":
		return None(), nil
	case "true", "false":
		return ofBool(word == "true"), nil
	}
	if strings.ContainsAny(word, ".eE") {
		f, err := strconv.ParseFloat(word, 64)
		if errors.Is(err, strconv.ErrRange) {
			err = nil // infinite, as in Python
		}
		return ofFloat(f), err
	}
	if digits := strings.TrimPrefix(word, "-"); digits == "" || strings.Trim(digits, "0123456789") != "" {
		return Value{}, errJSON
	}
	return parseInteger(word), nil
}

func (p *jsonParser) string() (string, error) {
	for i := 1; i < len(p.rest); i++ {
		switch p.rest[i] {
		case '\\':
			i++
		case '"':
			quoted := p.rest[:i+1]
			p.rest = p.rest[i+1:]
			if strings.IndexByte(quoted, '\\') < 0 {
				return quoted[1:i], nil
			}
			var s string
			err := json.Unmarshal([]byte(quoted), &s)
			return s, err
		}
	}
	return "", errJSON
}

func (p *jsonParser) list() (Value, error) {
	l := &items{values: []Value{}}
	v := Value{kind: list, ref: l}
	p.rest = p.rest[1:]
	if p.space(); strings.HasPrefix(p.rest, "]") {
		p.rest = p.rest[1:]
		return v, nil
	}
	for {
		e, err := p.value()
		if err != nil {
			return v, err
		}
		l.values = append(l.values, e)
		if c, err := p.take(',', ']'); err != nil || c == ']' {
			return v, err
		}
	}
}

func (p *jsonParser) dict() (Value, error) {
	d := &members{}
	v := Value{kind: dict, ref: d}
	p.rest = p.rest[1:]
	if p.space(); strings.HasPrefix(p.rest, "}") {
		p.rest = p.rest[1:]
		return v, nil
	}
	for {
		p.space()
		if !strings.HasPrefix(p.rest, `"`) {
			return v, errJSON
		}
		key, err := p.string()
		if err == nil {
			_, err = p.take(':', ':')
		}
		if err != nil {
			return v, err
		}
		e, err := p.value()
		if err != nil {
			return v, err
		}
		d.set(key, e)
		if c, err := p.take(',', '}'); err != nil || c == '}' {
			return v, err
		}
	}
}
