package sources

import (
	"bytes"
	"testing"
)

// TestRepeat wants a row with another one's values, whether their texts lie in one
// memory or not.
func TestRepeat(t *testing.T) {
	large := bytes.Repeat([]byte("x"), 2*largeRow)
	for name, reserved := range map[string]int{"in one memory": 10, "in others": 2 * largeRow} {
		var a Arena
		a.StartRow(1)
		a.Text([]byte("before"))
		first := a.EndRow()
		a.StartRow(4)
		a.Text([]byte("old"))
		a.Null()
		a.Patch([]byte("[]"))
		a.Text(nil)
		old := a.EndRow()
		before := a.Size()
		a.Reserve(reserved)
		a.StartRowAfter(old, 5)
		a.Text(large[:reserved])
		for _, i := range []int{0, 1, 2, 3} {
			a.Repeat(old, i)
		}
		now := a.EndRow()
		a.StartRow(1)
		a.Text([]byte("after"))
		last := a.EndRow()
		if text := now.Text(0); len(text) != reserved || string(now.Text(1)) != "old" || !now.Null(2) || string(now.Patch(3)) != "[]" || now.Text(4) == nil || len(now.Text(4)) > 0 {
			t.Errorf("%s: a text of %d bytes, %q, NULL %v, patch %q, %q", name, len(text), now.Text(1), now.Null(2), now.Patch(3), now.Text(4))
		}
		if string(first.Text(0)) != "before" || string(old.Text(0)) != "old" || string(last.Text(0)) != "after" {
			t.Errorf("%s: the rows around it are %q, %q, %q", name, first.Text(0), old.Text(0), last.Text(0))
		}
		if more := a.Size() - before; reserved == 10 && more != reserved+len("after")+8*(5+1) {
			t.Errorf("%s: it takes %d bytes", name, more)
		}
	}
}
