package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"haystream/internal/seeds"
	"haystream/mapping/rowstore"
)

// A random workload.

func (r *joinedRig) pick(values ...string) string { return values[r.random.IntN(len(values))] }

// value is a random one for a column; ok is false for NULL.
func (r *joinedRig) value(column string) (string, bool) {
	id := strconv.Itoa(1 + r.random.IntN(7))
	if strings.HasSuffix(column, "_id") { // so that many rows have one in common
		id = strconv.Itoa(1 + min(r.random.IntN(7), r.random.IntN(7)))
	}
	switch {
	case column == "id" || column == "a":
		return id, true
	case column == "b" || column == "place_b":
		return r.pick("x", "y"), true
	case column == "published":
		return r.pick("true", "true", "true", "false"), true
	case r.random.IntN(10) == 0:
		return "", false
	case column == "place_a" || column == "created" || column == "rank" || strings.HasSuffix(column, "_id"):
		return id, true
	case column == "pub":
		at := r.scratch.Now + int64(r.random.IntN(60_000_001)) - 30_000_000
		return formatMoment(at), true
	case column == "name":
		return r.pick("a", "b", "an", "a", "hidden", "Žluť\"ý"), true
	}
	return r.pick("p", "q", "r"), true
}

func formatMoment(at int64) string {
	return time.UnixMicro(at).UTC().Format("2006-01-02T15:04:05.999999")
}

func (r *joinedRig) randomRow(t *StoredTable, from map[string]string) map[string]string {
	row := maps.Clone(from)
	if row == nil {
		row = map[string]string{}
	}
	for _, c := range t.Source.Columns {
		if from != nil && r.random.IntN(3) > 0 || c.Name == "code" && from != nil && r.random.IntN(2) > 0 {
			continue
		}
		if c.Name == "code" {
			row["code"] = strconv.Itoa(r.random.IntN(9))
			continue
		}
		if v, ok := r.value(c.Name); ok {
			row[c.Name] = v
		} else {
			delete(row, c.Name)
		}
	}
	if id, ok := row["note_id"]; ok && t.Source.Name == "comment" && !strings.Contains(id, ".") {
		row["note_id"] += ".00"
	}
	return row
}

// allowed reports whether unique values stay so.
func (r *joinedRig) allowed(t *StoredTable, old, row map[string]string) bool {
	key := rowKey(t, row)
	if other := r.tables[t.Source.Name][key]; other != nil && (old == nil || rowKey(t, old) != key) {
		return false
	}
	for _, other := range r.tables[t.Source.Name] {
		if code, ok := other["code"]; ok && code == row["code"] && (old == nil || other["id"] != old["id"]) {
			return false
		}
	}
	return true
}

func (r *joinedRig) randomChange(b *rowstore.Batch) {
	names := slices.Sorted(maps.Keys(r.tables))
	t := r.stored(names[r.random.IntN(len(names))])
	rows := r.tables[t.Source.Name]
	var old, row map[string]string
	if keys := slices.Sorted(maps.Keys(rows)); len(keys) > 0 && r.random.IntN(3) > 0 {
		old = rows[keys[r.random.IntN(len(keys))]]
	}
	if old == nil || r.random.IntN(15) > 0 {
		row = r.randomRow(t, old)
		if !r.allowed(t, old, row) {
			return
		}
	}
	r.change(b, t.Source.Name, old, row)
}

// TestJoinedDocuments runs a random workload and compares the documents with
// those joined by hand.
func TestJoinedDocuments(t *testing.T) {
	for _, seed := range seeds.Of(t, 6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := newRig(t, seed, []string{joinedConfig, briefsConfig}[seed%2])
			for step := range 750 {
				b := r.store.Batch()
				for range 1 + r.random.IntN(4) {
					r.randomChange(b)
				}
				r.must(b.Commit(false))
				r.limit = 1 + r.random.IntN(2)
				if r.random.IntN(2) == 0 {
					r.resume()
				}
				if r.random.IntN(3) == 0 {
					r.scratch.Now += int64(r.random.IntN(3_000_000))
					r.render()
				}
				if step%15 == 14 {
					r.settle()
					r.compare(fmt.Sprintf("seed %d step %d", seed, step))
				}
				if t.Failed() {
					return
				}
			}
			if r.compared < 100 {
				t.Errorf("compared %d documents only", r.compared)
			}
		})
	}
}
