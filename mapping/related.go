package mapping

import (
	"slices"

	"haystream/mapping/rowstore"
	"haystream/mapping/value"
	"haystream/sources"
)

// Related are the stored tables that the renderer's relations lead to.
func (r *JoinedRenderer) Related() []*rowstore.Table {
	var all []*rowstore.Table
	for _, s := range r.scopes {
		if t := s.layoutTable(); s.parent != nil && !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	return all
}

// along renders what is at the end of a path: a value, or an array where many
// rows are on the way.
func along(p fieldPath, of content) content {
	if list, ok := of.(*listOf); ok && slices.ContainsFunc(p.rows, func(row shape) bool { return row.many }) {
		of = list.of // there is a list already
	}
	for i, row := range slices.Backward(p.rows) {
		inner := false // an array of arrays is one array
		for _, later := range p.rows[i+1:] {
			inner = inner || later.many
		}
		c := &relatedContent{scope: row.scope, of: of, many: row.many, flat: inner}
		for n, child := range c.scope.owner().children {
			if child == c.scope {
				c.child = n
			}
		}
		of = c
	}
	return of
}

// relatedContent renders a content for the rows that a relation leads to.
type relatedContent struct {
	scope *scope
	child int // among those of the scope that owns it
	of    content
	many  bool
	flat  bool // of renders an array, whose elements are taken
}

func (c *relatedContent) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	rows, err := s.related(c.scope.owner(), s.at, c.child)
	if err != nil {
		return dst, true, err
	}
	if !c.many {
		if len(rows) == 0 {
			if c.flat {
				return append(dst, "[]"...), false, nil
			}
			return dst, true, nil
		}
		return s.inRow(dst, rows[0], c.of)
	}
	dst = append(dst, '[')
	start := len(dst)
	for _, r := range rows {
		before := len(dst)
		if before > start {
			dst = append(dst, ',')
		}
		at := len(dst)
		var null bool
		if dst, null, err = s.inRow(dst, r, c.of); err != nil {
			return dst, true, err
		}
		if c.flat && !null {
			dst = append(dst[:at], dst[at+1:len(dst)-1]...)
		}
		if null || len(dst) == at {
			dst = dst[:before]
		}
	}
	return append(dst, ']'), false, nil
}

// inRow renders a content from a related row.
func (s *Scratch) inRow(dst []byte, r *loaded, of content) ([]byte, bool, error) {
	row, at := s.row, s.at
	s.row, s.at = r.row, r
	dst, null, err := of.append(dst, s)
	s.row, s.at = row, at
	return dst, null, err
}

// objectContent is a related row as an object.
type objectContent struct {
	scope  *scope
	fields []*docField
	boxes  bool // templates or expressions are among the fields
}

func (c *objectContent) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	values := s.view.values
	if c.boxes && !c.scope.plan[fieldsNumber].empty() {
		s.view.values = map[string]any{}
		if err := s.fill(s.view.values, c.scope, s.row, s.at, fieldsNumber); err != nil {
			s.view.values = values
			return dst, true, err
		}
	}
	dst, err := appendFields(dst, c.fields, s)
	s.view.values = values
	return dst, false, err
}

// computedContent is a computed column.
type computedContent struct {
	scope  *scope
	column *computedColumn
}

func (c *computedContent) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	if c.column.choices != nil {
		v, err := c.column.label(c.scope, s.row)
		if err != nil || value.IsNull(v) {
			return dst, true, err
		}
		text, err := value.Text(v)
		return sources.AppendJSONString(dst, []byte(text)), false, err
	}
	text, err := s.compute(c.column, c.scope, s.here(s.row, s.at), fieldsNumber)
	return sources.AppendJSONString(dst, []byte(text)), false, err
}
