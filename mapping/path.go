package mapping

import (
	"cmp"
	"fmt"
	"strings"

	"haystream/sources"
)

// A fieldPath is where a field's `from` leads.
type fieldPath struct {
	rows     []shape // the relations followed, in order
	scope    *scope  // at the end of them
	column   int     // -1 where the rows themselves are meant
	into     []string
	computed *computedColumn
}

// usePath resolves a field's path: relations, and at their end a column, a
// column of JSON and the way into it, or nothing.
func (s *scope) usePath(text string) (fieldPath, error) {
	p := fieldPath{scope: s, column: -1}
	for rest := text; ; {
		head, tail, dotted := strings.Cut(rest, ".")
		at := p.scope
		relation, computed := (*relation)(nil), false
		if at.tree != nil && at.table.Column(rest) < 0 && at.table.Column(head) < 0 {
			relation = at.tree.schema.relation(at.source, head)
			computed = !dotted && at.tree.schema.isComputed(at.source, head)
		}
		switch {
		case computed:
			c, err := at.compute(head)
			p.computed = c
			return p, err
		case relation == nil:
			var err error
			p.column, p.into, err = at.columnPath(rest)
			return p, err
		}
		next, err := at.follow(relation)
		if err != nil {
			return p, err
		}
		p.rows = append(p.rows, shape{next, relation.many})
		p.scope = next
		if !dotted {
			return p, nil
		}
		rest = tail
	}
}

// columnPath resolves a column, or a column of JSON and the way into it.
func (s *scope) columnPath(path string) (column int, into []string, err error) {
	head, rest, dotted := strings.Cut(path, ".")
	if s.table.Column(path) >= 0 || !dotted {
		column, err = s.use(path)
		return column, nil, err
	}
	if s.unknown() {
		return 0, nil, nil
	}
	i := s.find(head)
	if i < 0 {
		return -1, nil, s.unknownName(head)
	}
	if kind := s.column(i).Type.Kind; kind != sources.JSON && kind != sources.Array {
		hint := "; a path leads on into json columns only"
		if s.tree != nil {
			hint = cmp.Or(s.tree.schema.referring(s.source, head), hint)
		}
		return -1, nil, fmt.Errorf("column %q of table %s is %s%s", head, s.table, s.column(i).Type.SQL, hint)
	}
	column, err = s.use(head)
	return column, strings.Split(rest, "."), err
}
