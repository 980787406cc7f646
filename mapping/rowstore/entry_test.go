package rowstore

import (
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"haystream/sources"
)

// TestLinks finds a row by an index after each of several changes: what leads on from it is
// there without the row being read, but for links that are large.
func TestLinks(t *testing.T) {
	l := layout()
	s := open(t, vfs.NewMem(), l)
	defer s.Close()
	large, byUser := strings.Repeat("b", 150), 0
	value, _ := AppendKey(nil, l.Tables[notes], row("", "7", "", ""), []int{1})
	found := func(columns ...int) (all [][]string) {
		snapshot := s.Snapshot()
		defer snapshot.Release()
		if err := snapshot.Links(l.Tables[notes], byUser, columns, value, nil, func(_ []byte, row sources.Row) (bool, error) {
			var texts []string
			for i := range row.Len() {
				if row.Missing(i) {
					texts = append(texts, "-")
				} else {
					texts = append(texts, string(row.Text(i)))
				}
			}
			all = append(all, texts)
			return true, nil
		}); err != nil {
			t.Fatal(err)
		}
		return all
	}
	const tag, body = 2, 3
	for _, step := range []struct {
		row, links []string
	}{
		{[]string{"1", "7", "a", large}, []string{"-", "-", "a", "-"}},
		{[]string{"1", "7", "b", large}, []string{"-", "-", "b", "-"}},
		{[]string{"1", "7", "b", "small"}, []string{"1", "7", "b", "small"}},
		{[]string{"1", "7", "c", large}, []string{"-", "-", "c", "-"}},
		{[]string{"1", "7", null, large}, []string{"-", "-", "", "-"}},
		{[]string{"1", "7", large + large + large, large}, []string{"1", "7", large + large + large, large}},
	} {
		b := s.Batch()
		if _, err := b.Put(l.Tables[notes], row(step.row...)); err != nil {
			t.Fatal(err)
		}
		if err := b.Commit(false); err != nil {
			t.Fatal(err)
		}
		if got := found(tag); len(got) != 1 || !slices.Equal(got[0], step.links) {
			t.Errorf("the links of %.30q are %.30q, want %.30q", step.row, got, step.links)
		}
		if got := found(tag, body); len(got) != 1 || got[0][body] != step.row[body] {
			t.Errorf("more than the links of %.30q is %.30q", step.row, got)
		}
	}
}
