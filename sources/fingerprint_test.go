package sources

import "testing"

// TestFingerprintSince: what has gone is stale, what is new is not.
func TestFingerprintSince(t *testing.T) {
	earlier := Fingerprint{
		Table:   Facts{"which table it is": {"1"}},
		Columns: map[string]Facts{"a": {"values": {"x1", "f1"}}, "b": {"values": {"x1", "f1"}}},
		Parts:   map[string]string{"10": "p10", "11": "p11"},
	}
	tests := []struct {
		name   string
		change func(*Fingerprint)
		want   string
	}{
		{"nothing", func(*Fingerprint) {}, ""},
		{"another table", func(f *Fingerprint) { f.Table = Facts{"which table it is": {"2"}} }, "has changed: which table it is"},
		{"a new fact", func(f *Fingerprint) { f.Table["new"] = []string{"1"} }, ""},
		{"one sign of two", func(f *Fingerprint) { f.Columns["a"]["values"] = []string{"x1", "f2"} }, ""},
		{"both signs", func(f *Fingerprint) { f.Columns["a"]["values"] = []string{"x2", "f2"} }, "has changed its column a: values"},
		{"a column gone", func(f *Fingerprint) { delete(f.Columns, "b") }, "has no column b any more"},
		{"a new column", func(f *Fingerprint) { f.Columns["c"] = Facts{"values": {"x2"}} }, ""},
		{"a partition gone", func(f *Fingerprint) { delete(f.Parts, "11") }, "no longer has the partition p11 with the rows that it had"},
		{"a new partition", func(f *Fingerprint) { f.Parts["12"] = "p12" }, ""},
		{"a filled partition", func(f *Fingerprint) { f.Parts["12"], f.Brought = "p12", []string{"10", "12"} }, "has got the partition p12 with the rows that it had"},
		{"known ones are filled", func(f *Fingerprint) { f.Brought = []string{"10", "11"} }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			now := Fingerprint{Table: Facts{"which table it is": {"1"}}, Columns: map[string]Facts{}, Parts: map[string]string{"10": "p10", "11": "p11"}}
			for name := range earlier.Columns {
				now.Columns[name] = Facts{"values": {"x1", "f1"}}
			}
			if now.Since(earlier) != nil || !now.Equal(earlier) {
				t.Fatal("the same differs")
			}
			test.change(&now)
			got := ""
			for _, stale := range now.Since(earlier) {
				got += stale.Reason
			}
			if got != test.want {
				t.Errorf("stale is %q, want %q", got, test.want)
			}
			if now.Since(Fingerprint{}) != nil {
				t.Error("stale since nothing")
			}
		})
	}
}
