package mapping

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"haystream/sinks"
	"haystream/sources"
)

// What would make too much of a row makes a dead letter that says so, soon and
// in little memory; what is merely large is made.
func TestLimits(t *testing.T) {
	const text, steps = "a text of more than 32 MiB is made", "takes more than 10000000 steps"
	nested := func(levels int, open, inside, end string) string {
		return strings.Repeat(open, levels) + inside + strings.Repeat(end, levels)
	}
	for _, c := range []struct {
		name  string
		field Field
		want  string // empty: a document
	}{
		{"much text", Field{Template: "{{range 100000}}0123456789{{end}}"}, ""},
		{"endless range", Field{Template: "{{range 2000000000}}x{{end}}"}, steps},
		{"endless range without text", Field{Template: "{{range 2000000000}}{{end}}"}, steps},
		{"range over a column", Field{Template: "{{range .id}}{{end}}"}, steps},
		{"ranges in ranges", Field{Template: nested(5, "{{range 1000}}", "", "{{end}}")}, steps},
		{"ranges in a condition", Field{Template: "{{range $x := 1000}}{{if true}}{{range 100000}}{{end}}{{end}}{{end}}"}, steps},
		{"too much text", Field{Template: "{{range 5000000}}0123456789{{end}}"}, text},
		{"doubled text", Field{Template: `{{$x := "0123456789"}}` + strings.Repeat(`{{$x = printf "%s%s" $x $x}}`, 40) + `{{len $x}}`}, text},
		{"text doubled in a range", Field{Template: `{{$x := "0123456789"}}{{range 60}}{{$x = print $x $x}}{{end}}{{len $x}}`}, text},
		{"text made again and again", Field{Template: `{{$x := printf "%900000s" "a"}}{{range 9000000}}{{$y := $x | upper}}{{end}}`}, steps},
		{"wide verb", Field{Template: `{{printf "%s" (printf "` + strings.Repeat("%999999d", 50) + `" 1)}}`}, text},
		{"repeated verb", Field{Template: `{{$x := printf "%900000s" "a"}}{{printf "` + strings.Repeat("%[1]s", 50) + `" $x}}`}, text},
		{"replace", Field{Template: `{{$x := printf "%900000s" "a"}}{{replace " " "0123456789012345678901234567890123456789" $x | len}}`}, text},
		{"join", Field{Template: `{{$x := printf "%900000s" "a"}}{{join $x .doc.items | len}}`}, ""},
		{"expression", Field{Expr: `let a = repeat(title, 100000); len(a)`}, ""},
		{"repeat", Field{Expr: `repeat(repeat("x", 10000), 10000)`}, text},
		{"doubled in an expression", Field{Expr: `let a = repeat("x", 1000000); let b = a + a + a + a + a + a + a + a; len(b + b + b + b + b + b)`}, text},
		{"replace in an expression", Field{Expr: `len(replace(repeat("x", 1000000), "x", repeat("y", 100)))`}, text},
		{"join in an expression", Field{Expr: `len(join(1..1000 | map("x"), repeat("y", 100000)))`}, text},
		{"loops in loops", Field{Expr: `let r = 1..1000; count(r, count(r, count(r, true) > 0) > 0)`}, steps},
		{"loops in loops that stay small", Field{Expr: `let r = 1..100; count(r, count(r, true) > 0)`}, ""},
		{"texts kept in a loop", Field{Expr: `len(map(1..900000, repeat("x", 1000000)))`}, steps},
		{"range", Field{Expr: `len(1..2000000000)`}, "memory budget exceeded"},
		{"filter", Field{Expr: `len(filter(1..90000, # % 2 == 0))`}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := sample()
			plan, err := Compile([]*sources.Table{table}, nil, Set{Indexes: map[string]*Definition{"notes": {Table: "sample", Fields: Fields{Named: map[string]*Field{"f": &c.field}}}}})
			if err != nil {
				t.Fatal(err)
			}
			r := plan.Sets[0][0].Renderers[0]
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began, batch := time.Now(), &sinks.Batch{}
			if err := r.Row(NewScratch(), batch, &sinks.Target{}, image(r.Table, sampleRow), 1); err != nil {
				t.Fatal(err)
			}
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			a := batch.Actions[0]
			if rejected := a.Op == sinks.OpReject; rejected != (c.want != "") || !strings.Contains(string(a.Body), c.want) {
				t.Errorf("made %.300s, want %q", a.Body, c.want)
			}
			if took > 20*time.Second {
				t.Errorf("took %s", took)
			}
			if made := after.TotalAlloc - before.TotalAlloc; made > 1<<30 {
				t.Errorf("made %d MiB", made>>20)
			}
			t.Logf("%s, %d MiB", took.Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20)
		})
	}
}
