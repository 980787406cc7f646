package expression

import (
	"slices"
	"testing"
)

// FuzzExpression: whatever the text, it compiles or says why not, gives a value or says why not, and the same value once more.
func FuzzExpression(f *testing.F) {
	for _, seed := range []string{
		"price * quantity + 0.1", `published && date(status) > created`, `map(filter(doc.items, .p > 0.1), .p)[0:2]`, `tags contains "go" ? nil : none ?? "x"`, `title matches "^Ž"`,
		`let x = doc.a; x.b[-1]`, `reduce(tags, #acc + #, "")`, `$env["Odd Name"] ** 2`, `created - duration("1h") > day`, `groupBy(doc.items, .p)`, `toJSON(doc) | fromJSON()`, `1..100000000`, `repeat("x", 1e9)`,
		`sum(doc.items, .p ?? 0)`, `sortBy(doc.items, .p, "desc")`, `concat(tags, [1])`, `int("x")`, `created.Format("02")`, `nan == nan`, `9223372036854775807 + 1`, `"a" in doc`, `not (id not in [1, 2.0])`,
	} {
		f.Add(seed)
	}
	row := sampleRow(f)
	f.Fuzz(func(t *testing.T, text string) {
		at := &sample{}
		e, err := Compile(text, at)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a word")
			}
			return
		}
		if slices.Contains(at.read, "") {
			t.Error("it reads a column without a name")
		}
		var m Machine
		first, err := m.Run(e, row)
		again, errAgain := m.Run(e, row)
		if (err == nil) != (errAgain == nil) {
			t.Errorf("%v (%v), once more %v (%v)", first, err, again, errAgain)
		}
	})
}
