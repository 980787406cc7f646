package mapping

import (
	"testing"

	"haystream/mapping/expression"
	"haystream/sinks"
	"haystream/sources"
)

func benchmarkPlan(b *testing.B, fields Fields) (*Renderer, sources.Row) {
	table := sample()
	plan, err := Compile([]*sources.Table{table}, nil, Set{Indexes: map[string]*Definition{"notes": {Table: "sample", Fields: fields}}})
	if err != nil {
		b.Fatal(err)
	}
	r := plan.Sets[0][0].Renderers[0]
	return r, image(r.Table, sampleRow)
}

func benchmarkRow(b *testing.B, fields Fields, wantAllocs float64) {
	r, row := benchmarkPlan(b, fields)
	s, target, batch := NewScratch(), &sinks.Target{}, &sinks.Batch{}
	render := func() {
		batch.Reset()
		if err := r.Row(s, batch, target, row, 1); err != nil {
			b.Fatal(err)
		}
	}
	render()
	if allocs := testing.AllocsPerRun(100, render); wantAllocs >= 0 && allocs > wantAllocs {
		b.Errorf("%v allocations per row, want %v", allocs, wantAllocs)
	}
	b.SetBytes(int64(len(batch.Actions[0].Body)))
	b.ReportAllocs()
	for b.Loop() {
		render()
	}
}

func BenchmarkRowColumns(b *testing.B) { benchmarkRow(b, Fields{All: true}, 0) }

func BenchmarkRowPath(b *testing.B) {
	benchmarkRow(b, Fields{Named: map[string]*Field{"p": {From: "doc.items.2.q", Type: "long"}}}, 0)
}

func BenchmarkRowTemplate(b *testing.B) {
	benchmarkRow(b, Fields{Named: map[string]*Field{"text": {Template: "{{ object.title }}\n{{ .status | upper }}"}}}, -1)
}

// tenLines is one template in both languages.
var tenLines = map[string]string{
	engineGo: `{{ .title }}
{{ .status | upper }}: {{ .quantity }} x {{ .price }}
{{ if .published }}published{{ else }}draft{{ end }}
{{ range .tags }}{{ . }} {{ end }}
{{ .none | default "nothing" }}
{{ .day | date "2006-01-02" }}
{{ .title | truncatewords 1 }}
{{ .title | lower }} {{ .id }}
{{ if and .published (gt .quantity 2) }}many{{ end }}
{{ .status }} {{ .count }}`,
	engineDjango: `{{ object.title }}
{{ object.status|upper }}: {{ object.quantity }} x {{ object.price }}
{% if object.published %}published{% else %}draft{% endif %}
{% for tag in object.tags %}{{ tag }} {% endfor %}
{{ object.none|default:"nothing" }}
{{ object.day|date:"Y-m-d" }}
{{ object.title|truncatewords:1 }}
{{ object.title|lower }} {{ object.id }}
{% if object.published and object.quantity > 2 %}many{% endif %}
{{ object.status }} {{ object.count }}`,
}

func BenchmarkTenLinesGo(b *testing.B) {
	benchmarkRow(b, Fields{Named: map[string]*Field{"text": {Template: tenLines[engineGo]}}}, -1)
}

// BenchmarkTenLinesDjango wants the text of the other one, at far fewer allocations.
func BenchmarkTenLinesDjango(b *testing.B) {
	bodies := map[string]string{}
	for engine, text := range tenLines {
		r, row := benchmarkPlan(b, Fields{Named: map[string]*Field{"text": {Template: text}}})
		batch := &sinks.Batch{}
		if err := r.Row(NewScratch(), batch, &sinks.Target{}, row, 1); err != nil {
			b.Fatal(err)
		}
		bodies[engine] = string(batch.Actions[0].Body)
	}
	if bodies[engineGo] != bodies[engineDjango] {
		b.Fatalf("the templates print %s and %s", bodies[engineGo], bodies[engineDjango])
	}
	benchmarkRow(b, Fields{Named: map[string]*Field{"text": {Template: tenLines[engineDjango]}}}, 20)
}

func BenchmarkRowExpression(b *testing.B) {
	benchmarkRow(b, Fields{Named: map[string]*Field{"total": {Expr: "price * quantity"}}}, -1)
}

func BenchmarkWhere(b *testing.B) {
	table := sample()
	at := newScope(table)
	e, err := expression.CompileCondition(`published && status in ["open", "new"] && quantity > 2`, at)
	if err != nil {
		b.Fatal(err)
	}
	at.settle()
	r, s := image(table, sampleRow), NewScratch()
	b.ReportAllocs()
	for b.Loop() {
		if err := s.fill(s.view.values, at, r, nil, fieldsNumber); err != nil {
			b.Fatal(err)
		}
		if _, err := s.view.machine.Matches(e, s.view.values); err != nil {
			b.Fatal(err)
		}
	}
}

// TestColumnsDoNotAllocate keeps the hot path free of allocations.
func TestColumnsDoNotAllocate(t *testing.T) {
	table := sample()
	table.Identity = sources.IdentityFull
	plan, err := Compile([]*sources.Table{table}, nil, Set{Indexes: map[string]*Definition{"notes": {Table: "sample", Fields: Fields{All: true}}}})
	if err != nil {
		t.Fatal(err)
	}
	r := plan.Sets[0][0].Renderers[0]
	image := image(r.Table, sampleRow)
	change := &sources.Change{Table: r.Table, Kind: sources.Update, Before: image, After: image, Version: 1}
	s, target, batch := NewScratch(), &sinks.Target{}, &sinks.Batch{}
	allocs := testing.AllocsPerRun(100, func() {
		batch.Reset()
		if err := r.Change(s, batch, target, change); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations per update, want 0", allocs)
	}
}
