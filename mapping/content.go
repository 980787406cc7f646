package mapping

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"time"

	"haystream/mapping/expression"
	"haystream/mapping/value"
	"haystream/sources"
)

// A content renders one value of a document from the row that s holds. It
// appends the value as JSON, or reports NULL and appends nothing.
type content interface {
	append(dst []byte, s *Scratch) (out []byte, null bool, err error)
}

// columnContent is a column as it is.
type columnContent struct {
	column int
	typ    *sources.Type
}

func (c *columnContent) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	text := s.row.Text(c.column)
	if text == nil {
		return dst, true, nil
	}
	out, nulled := sources.AppendJSON(dst, c.typ, text)
	if nulled {
		s.nulled++
		return dst, true, nil
	}
	return out, false, nil
}

// boolNumber is a column of true and false as a number.
type boolNumber struct{ column int }

func (c *boolNumber) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	switch text := s.row.Text(c.column); string(text) {
	case "":
		return dst, true, nil
	case "true":
		return append(dst, '1'), false, nil
	case "false":
		return append(dst, '0'), false, nil
	default:
		return append(dst, text...), false, nil
	}
}

// numberBool is a column of whole numbers as true or false.
type numberBool struct{ column int }

func (c *numberBool) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	text := s.row.Text(c.column)
	if text == nil {
		return dst, true, nil
	}
	return strconv.AppendBool(dst, string(text) != "0"), false, nil
}

// pathContent is a value inside a column of JSON.
type pathContent struct {
	column int
	path   []string
}

func (c *pathContent) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	found := findJSON(sources.CutMark(s.row.Text(c.column)), c.path)
	return append(dst, found...), found == nil, nil
}

// textOfJSON is JSON in a field of text, which takes no objects: as the JSON text
// that they are, of an array's elements too.
type textOfJSON struct{ of content }

func (c *textOfJSON) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	start := len(dst)
	dst, null, err := c.of.append(dst, s)
	if err != nil || null {
		return dst, null, err
	}
	return quoteObjects(dst, start), false, nil
}

// quoteObjects makes texts of the objects in the value from start on.
func quoteObjects(dst []byte, start int) []byte {
	value := dst[start:]
	if len(value) == 0 || value[0] != '{' && (value[0] != '[' || bytes.IndexByte(value, '{') < 0 && bytes.IndexByte(value[1:], '[') < 0) {
		return dst
	}
	end := len(dst)
	if value[0] == '{' {
		dst = sources.AppendJSONString(dst, value)
		return dst[:start+copy(dst[start:], dst[end:])]
	}
	dst = append(dst, '[')
	for w := sources.WalkJSON(value); w.Next(); {
		if dst[len(dst)-1] != '[' {
			dst = append(dst, ',')
		}
		if element := w.Value(); element[0] == '{' || element[0] == '[' {
			dst = sources.AppendJSONString(dst, element)
		} else {
			dst = append(dst, element...)
		}
	}
	dst = append(dst, ']')
	return dst[:start+copy(dst[start:], dst[end:])]
}

// flatJSON is JSON in a flattened field, which takes objects only: anything else
// is its member "value".
type flatJSON struct{ of content }

func (c *flatJSON) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	start := len(dst)
	dst, null, err := c.of.append(dst, s)
	if err != nil || null {
		return dst, null, err
	}
	value := bytes.TrimSpace(dst[start:])
	switch {
	case string(value) == "null":
		return dst[:start], true, nil
	case len(value) > 0 && value[0] == '{':
		return dst, false, nil
	}
	const before = `{"value":`
	dst = slices.Insert(dst, start, []byte(before)...)
	return append(dst, '}'), false, nil
}

// geoPoint is a GeoJSON point as {"lat":y,"lon":x}, which every sink's geo_point
// takes. Other geometries stay what they are.
type geoPoint struct{ columnContent }

func (c *geoPoint) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	start := len(dst)
	dst, null, err := c.columnContent.append(dst, s)
	position, ok := bytes.CutPrefix(dst[start:], []byte(`{"type":"Point","coordinates":[`))
	if err != nil || null || !ok {
		return dst, null, err
	}
	x, rest, _ := bytes.Cut(bytes.TrimSuffix(position, []byte("]}")), []byte(","))
	y, _, _ := bytes.Cut(rest, []byte(","))
	return append(dst[:start], `{"lat":`+string(y)+`,"lon":`+string(x)+`}`...), false, nil
}

// geoShape is a point as GeoJSON.
type geoShape struct{ columnContent }

func (c *geoShape) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	start := len(dst)
	dst, null, err := c.columnContent.append(dst, s)
	position, ok := bytes.CutPrefix(dst[start:], []byte(`{"lat":`))
	if err != nil || null || !ok {
		return dst, null, err
	}
	y, x, _ := bytes.Cut(bytes.TrimSuffix(position, []byte("}")), []byte(`,"lon":`))
	return append(dst[:start], `{"type":"Point","coordinates":[`+string(x)+`,`+string(y)+`]}`...), false, nil
}

// dateContent is a date or timestamp in a format of its own.
type dateContent struct {
	column int
	format string
	zone   *time.Location // nil for UTC
}

func (c *dateContent) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	text := s.row.Text(c.column)
	if text == nil {
		return dst, true, nil
	}
	dst, infinite, err := appendDate(dst, text, c.format, c.zone)
	if infinite {
		s.nulled++
	}
	return dst, infinite, err
}

// Date formats that are numbers, as the sink names them.
const (
	epochMillis = "epoch_millis"
	epochSecond = "epoch_second"
)

// appendDate appends a cell's date as date_format says; null for an infinite one.
func appendDate(dst []byte, text []byte, format string, zone *time.Location) (out []byte, null bool, err error) {
	if !sources.IsDay(text) {
		return dst, true, nil
	}
	t, err := value.ParseTime(string(text))
	if err != nil {
		return dst, false, err
	}
	switch format {
	case epochMillis:
		return strconv.AppendInt(dst, t.UnixMilli(), 10), false, nil
	case epochSecond:
		return strconv.AppendInt(dst, t.Unix(), 10), false, nil
	}
	if zone != nil {
		t, _ = value.InZone(t, zone).(value.Time)
	}
	return sources.AppendJSONString(dst, t.AppendFormat(nil, format)), false, nil
}

// valuesIn are the boxed values of the row, with times in a zone; nil for the pipeline's.
func (s *Scratch) valuesIn(zone *time.Location) map[string]any {
	if zone == nil {
		return s.view.values
	}
	values, _ := value.InZone(s.view.values, zone).(map[string]any)
	return values
}

// templateContent is what a template prints; never NULL.
type templateContent struct {
	template *textTemplate
	zone     *time.Location // the field's own, of a template of Go's; nil for none
}

func (c *templateContent) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	s.text = s.text[:0]
	if err := c.template.run(s, s.here(s.row, s.at), s.valuesIn(c.zone), &s.text); err != nil {
		return dst, false, err
	}
	return sources.AppendJSONString(dst, s.text), false, nil
}

// expressionContent is an expression's value.
type expressionContent struct {
	expression *expression.Expression
	zone       *time.Location // the field's own; nil for none
}

func (c *expressionContent) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	v, err := s.view.machine.Run(c.expression, s.valuesIn(c.zone))
	if err != nil || value.IsNull(v) {
		return dst, true, err
	}
	out, nulled, err := value.AppendJSON(dst, v)
	s.nulled += int64(nulled)
	if nulled > 0 && string(out[len(dst):]) == "null" {
		return dst, true, err
	}
	return out, false, err
}

// valueContent is a constant.
type valueContent []byte

func (c valueContent) append(dst []byte, _ *Scratch) ([]byte, bool, error) {
	return append(dst, c...), false, nil
}

// A docField is a field of a document: a content, or an object of more fields.
type docField struct {
	name     string
	key      []byte // "name":
	content  content
	fallback []byte // stands in for NULL
	omitNull bool
	fields   []*docField // of an object, sorted by name
}

// appendFields appends an object of fields.
func appendFields(dst []byte, fields []*docField, s *Scratch) ([]byte, error) {
	dst = append(dst, '{')
	first := true
	for _, f := range fields {
		start := len(dst)
		if !first {
			dst = append(dst, ',')
		}
		dst = append(dst, f.key...)
		var err error
		null := false
		if f.content == nil {
			dst, err = appendFields(dst, f.fields, s)
		} else {
			dst, null, err = f.content.append(dst, s)
		}
		if err != nil {
			return dst, fmt.Errorf("field %s: %w", f.name, err)
		}
		if null {
			if f.omitNull {
				dst = dst[:start]
				continue
			}
			dst = append(dst, f.fallback...)
		}
		first = false
	}
	return append(dst, '}'), nil
}
