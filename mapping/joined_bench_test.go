package mapping

import (
	"testing"

	"haystream/mapping/rowstore"
	"haystream/sinks"
	"haystream/sources"
)

// BenchmarkDocument renders a note with two comments and two tags.
func BenchmarkDocument(b *testing.B) {
	r := touchRig(b)
	j := r.plan.Sets[0][0].Joined[0]
	key, _ := rowstore.AppendKey(nil, j.Stored, image(j.Stored.Table, cells("id=1")), j.Stored.Key)
	mark, target, out := j.Mark(nil, key), &sinks.Target{}, &sinks.Batch{}
	snapshot := r.store.Snapshot()
	defer func() { r.must(snapshot.Release()) }()
	fork := snapshot.Fork(sources.NewArena(1 << 10))
	defer func() { r.must(fork.Release()) }()
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		if _, err := j.Document(r.scratch, fork, out, target, mark, 1); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(out.Actions[0].Body)))
}

// BenchmarkAffected finds the documents of a person that has two.
func BenchmarkAffected(b *testing.B) {
	r := touchRig(b)
	j, t := r.plan.Sets[0][0].Joined[0], r.stored("person")
	old := image(t.Table.Table, r.tables["person"]["1"])
	row := image(t.Table.Table, with(r.tables["person"]["1"], "name=changed"))
	snapshot := r.store.Snapshot()
	defer func() { r.must(snapshot.Release()) }()
	b.ReportAllocs()
	for b.Loop() {
		found := 0
		if _, err := j.Affected(r.scratch, snapshot, t.Table, old, row, 100, func([]byte) error { found++; return nil }); err != nil || found == 0 {
			b.Fatal(found, err)
		}
	}
}
