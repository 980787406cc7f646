package main

import (
	"context"
	"fmt"
)

// tenLines is one text as a template of each language.
var tenLines = map[string]string{
	"go": `{{ .title }}
{{ .title | lower }} by {{ .author_id }}
{{ .body | striptags }}
{{ .body | truncatewords 8 }}
{{ .price }} {{ .views }}
{{ if .published }}published{{ else }}draft{{ end }}
{{ if and .published (gt .views 500) }}much read{{ end }}
{{ .created | date "2006-01-02" }} to {{ .updated | date "2006-01-02 15:04" }}
{{ .price | default "free" }}
{{ .title | upper }} {{ .id }}`,
	"django": `{{ object.title }}
{{ object.title|lower }} by {{ object.author_id }}
{{ object.body|striptags }}
{{ object.body|truncatewords:8 }}
{{ object.price }} {{ object.views }}
{% if object.published %}published{% else %}draft{% endif %}
{% if object.published and object.views > 500 %}much read{% endif %}
{{ object.created|date:"Y-m-d" }} to {{ object.updated|date:"Y-m-d H:i" }}
{{ object.price|default:"free" }}
{{ object.title|upper }} {{ object.id }}`,
}

// templates compares documents that a template of Django's makes with those that one of Go's makes of the same rows. What is
// compared is CPU time: the rates are documents for each second of it, reading the rows and writing the documents included.
func (b *bench) templates(ctx context.Context) error {
	r := result{database: b.product.name, what: "snapshot, Django template, per CPU s", baseline: "Go template", ratio: 1, documents: b.rows}
	for round := range rounds {
		cpu := map[string]measured{}
		for _, engine := range []string{"go", "django"} {
			name := fmt.Sprintf("%s%d", engine, round)
			definition := fmt.Sprintf("indexes: {%s: {table: bench, fields: {text: {engine: %s, template: %q}}}}\n", name, engine, tenLines[engine])
			d, err := b.pipeline(ctx, name, counting, definition)
			if err != nil {
				return err
			}
			m, err := d.measure(ctx, d.loaded)
			if err != nil {
				return err
			}
			m.took = m.cpu
			cpu[engine] = m
		}
		note("templates: Django's %.2f s of CPU, Go's %.2f s", cpu["django"].cpu.Seconds(), cpu["go"].cpu.Seconds())
		r.ours, r.theirs = append(r.ours, cpu["django"]), append(r.theirs, cpu["go"].cpu)
	}
	b.report.results = append(b.report.results, r)
	return nil
}
