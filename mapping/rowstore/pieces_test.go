package rowstore

import (
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestPieces: a large text is what it was, whatever was done before to its key in
// the same batch or an earlier one, and no piece of it stays when its row goes.
func TestPieces(t *testing.T) {
	l := layout()
	s := open(t, vfs.NewMem(), l) // with pieces of 100 bytes
	defer s.Close()
	short, first, second := "short", strings.Repeat("first ", 100), strings.Repeat("second ", 30)
	const truncate = "truncate"
	for _, bodies := range [][]string{ // one after the other in one batch; empty: the row is deleted
		{first}, {second}, {short}, {first, second}, {""}, {first, ""}, {first, "", second}, {truncate, first}, {first, truncate}, {second, truncate, first}, {first}, {""},
	} {
		b := s.Batch()
		key, _ := AppendKey(nil, l.Tables[notes], row("1", null, null, null), l.Tables[notes].Key)
		var want []string
		for _, body := range bodies {
			var err error
			switch want = nil; body {
			case "":
				_, err = b.Delete(l.Tables[notes], key)
			case truncate:
				err = b.Truncate(l.Tables[notes])
			default:
				want = []string{"1", "2", "tag", body}
				_, err = b.Put(l.Tables[notes], row(want...))
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, _, err := b.Get(l.Tables[notes], key); err != nil || !slices.Equal(texts(got), want) {
				t.Fatalf("after %.20q, the batch has %.60q, want %.60q: %v", bodies, texts(got), want, err)
			}
		}
		if err := b.Commit(false); err != nil {
			t.Fatal(err)
		}
		snapshot := s.Snapshot()
		if got, _, err := snapshot.Get(l.Tables[notes], key); err != nil || !slices.Equal(texts(got), want) {
			t.Errorf("after %.20q, the store has %.60q, want %.60q: %v", bodies, texts(got), want, err)
		}
		snapshot.Release()
		pieces := 0
		if want != nil && len(want[3]) > 100 {
			pieces = (len(want[3]) + 99) / 100
		}
		if n := count(t, s, spacePiece); n != pieces {
			t.Errorf("after %.20q, there are %d pieces, want %d", bodies, n, pieces)
		}
	}
}

// count is how many keys a space has.
func count(t *testing.T, s *Store, space byte) (n int) {
	t.Helper()
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{space}, UpperBound: []byte{space + 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer iter.Close()
	for ok := iter.First(); ok; ok = iter.Next() {
		n++
	}
	return n
}
