package rowstore

import (
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestStraysOfLargeRows: who looks through an index holds one row at a time.
func TestStraysOfLargeRows(t *testing.T) {
	l := layout()
	s := open(t, vfs.NewMem(), l)
	defer s.Close()
	const rows, size = 20, 100 << 10
	b := s.Batch()
	for id := range rows {
		if _, err := b.Put(l.Tables[notes], row(strconv.Itoa(id), "7", "a", strings.Repeat("b", size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(false); err != nil {
		t.Fatal(err)
	}
	snapshot := s.Snapshot()
	defer snapshot.Release()
	_, done, err := snapshot.Strays(l.Tables[notes], nil, 1000, func(s Stray) error {
		t.Errorf("%x is a stray", s.Key)
		return nil
	})
	if err != nil || !done {
		t.Fatal(done, err)
	}
	if held := snapshot.rows.Size(); held > 2*size {
		t.Errorf("it holds %d bytes of rows", held)
	}
}
