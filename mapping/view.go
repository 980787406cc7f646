package mapping

import (
	"fmt"

	"github.com/expr-lang/expr/vm"

	"haystream/sources"
)

// A view shows a row to templates and expressions: boxed values by column
// name. It is filled anew for each row with the columns that are asked for.
type view struct {
	values  map[string]any
	machine vm.VM
}

func newView() *view { return &view{values: map[string]any{}} }

// fill boxes columns of a row.
func (v *view) fill(t *sources.Table, row sources.Row, columns []int) error {
	for _, i := range columns {
		c := &t.Columns[i]
		value, err := box(&c.Type, row.Text(i))
		if err != nil {
			return fmt.Errorf("read column %s: %w", c.Name, err)
		}
		v.values[c.Name] = value
	}
	return nil
}
