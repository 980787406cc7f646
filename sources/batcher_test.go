package sources

import (
	"bytes"
	"runtime/debug"
	"sync"
	"testing"
)

// fill adds changes until the batch has so many bytes.
func fill(b *Batch, size int) {
	for b.Size() < size {
		b.Arena.StartRow(1)
		b.Arena.Text(bytes.Repeat([]byte("x"), 1000))
		b.Changes = append(b.Changes, Change{Kind: Insert, After: b.Arena.EndRow()})
	}
}

// The memory of a large batch that is released serves the next one. A small one is made anew:
// in large memory it would take more than is reckoned with.
func TestReleasedBatchIsUsedAgain(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which empties pools
	b := NewBatcher()
	fill(b.Batch, largeBatch)
	first := b.Take()
	changes := first.Changes
	first.Transactions = 1
	first.Release()
	if !changes[0].After.IsZero() {
		t.Error("a released batch still has its rows")
	}
	fill(b.Batch, 1000)
	if b.Take(); b.Batch == first {
		t.Error("what follows a small batch is in the memory of a large one")
	}
	fill(b.Batch, largeBatch)
	b.Take()
	if pooled && b.Batch != first {
		t.Error("what follows a large batch is not in memory that was released")
	}
	if b.Size() != 0 || len(b.Changes) != 0 || b.Transactions != 0 {
		t.Errorf("a batch begins with what another had: %+v", b.Batch)
	}
}

// A released chunk keeps what the scan goes on with.
func TestReleasedChunk(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var spare sync.Pool
	c := NewChunk(&spare, 10, 1000)
	c.Arena.StartRow(1)
	c.Arena.Text([]byte("a"))
	row := c.Arena.EndRow()
	c.Rows, c.Last, c.Done = append(c.Rows, row), Key{"a"}, true
	arena := c.Arena
	c.Release()
	if text := string(row.Text(0)); spoils && text == "a" {
		t.Error("a row of a released chunk is as it was, though the race detector is on")
	}
	if !c.Done || c.Last[0] != "a" {
		t.Errorf("it lost its end: %+v", c)
	}
	if next := NewChunk(&spare, 10, 1000); pooled && next.Arena != arena || len(next.Rows) != 0 || next.Last != nil || next.Done {
		t.Errorf("the next one is %+v", next)
	}
}
