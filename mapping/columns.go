package mapping

import (
	"fmt"
	"strings"

	"haystream/internal/conf"
	"haystream/sources"
)

// columns looks names up in a table and notes which columns are used.
type columns struct {
	table *sources.Table
	used  []bool
}

func newColumns(t *sources.Table) *columns {
	return &columns{table: t, used: make([]bool, len(t.Columns))}
}

// use returns the named column's index and notes its use.
func (c *columns) use(name string) (int, error) {
	i := c.table.Column(name)
	if i < 0 {
		return -1, fmt.Errorf("no column %q in %s%s", name, c.table, conf.DidYouMean(name, c.names()))
	}
	if c.table.Columns[i].NotLogged {
		return -1, fmt.Errorf("column %q of table %s is computed by the server and absent from its log, so it cannot be replicated", name, c.table)
	}
	c.used[i] = true
	return i, nil
}

func (c *columns) column(i int) *sources.Column { return &c.table.Columns[i] }

func (c *columns) names() []string {
	names := make([]string, len(c.table.Columns))
	for i := range c.table.Columns {
		names[i] = c.table.Columns[i].Name
	}
	return names
}

// usePath resolves a field's path: a column, or a column of JSON and the way
// into it.
func (c *columns) usePath(path string) (column int, into []string, err error) {
	if c.table.Column(path) >= 0 {
		column, err = c.use(path)
		return column, nil, err
	}
	head, rest, dotted := strings.Cut(path, ".")
	i := c.table.Column(head)
	if !dotted {
		column, err = c.use(path)
		return column, nil, err
	}
	if i < 0 {
		if c.table.Column(head+"_id") >= 0 {
			return -1, nil, fmt.Errorf("%q is not a column, and following the relation %q into another table is not in this version yet", head, head)
		}
		_, err = c.use(head)
		return -1, nil, err
	}
	if kind := c.column(i).Type.Kind; kind != sources.JSON && kind != sources.Array {
		return -1, nil, fmt.Errorf("column %q of table %s is %s; a path leads on into json columns only", head, c.table, c.column(i).Type.SQL)
	}
	column, err = c.use(head)
	return column, strings.Split(rest, "."), err
}
