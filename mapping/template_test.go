package mapping

import (
	"strings"
	"testing"
)

func TestTemplates(t *testing.T) {
	tests := []struct{ template, want string }{
		{"plain", "plain"},
		{"{{ .title }}/{{ object.title }}/{{ $.title }}", "Žluťoučký kůň/Žluťoučký kůň/Žluťoučký kůň"},
		{"{{ object.none }}|{{ .none }}|{{ .deleted }}", "||"},
		{"{{ .id }} {{ .price }} {{ .weight }} {{ .published }}", "9007199254740993 19.90 0.1 true"},
		{"{{ .created }} {{ .day }} {{ .expires }}", "2024-02-29T12:30:00.000001Z 2024-02-29 infinity"},
		{`{{ .doc.a.b }} {{ .doc.nothing.at.all }} {{ .doc.big }}`, `[1,2.50,null,{"c":"x"}]  123456789012345678901234567890`},
		{`{{ .tags }} {{ join ", " .tags }} {{ .tags | join "/" }} {{ join "," .none }}`, `["go","sql"] go, sql go/sql `},
		{"{{ range .tags }}<{{ . }}>{{ end }}{{ range .none }}x{{ else }}none{{ end }}", "<go><sql>none"},
		{"{{ range .doc.items }}{{ .p }};{{ $.title | truncate 3 }} {{ end }}", "0.1;Žl… 0.2;Žl… ;Žl… "},
		{"{{ with object }}{{ .title }}{{ end }}", "Žluťoučký kůň"},
		{"{{ with .none }}x{{ else }}{{ .title }}{{ end }}", "Žluťoučký kůň"},
		{"{{ $o := object }}{{ $o.title }}", "Žluťoučký kůň"},
		{"{{ $x := .title }}{{ $x }}", "Žluťoučký kůň"},
		{`{{ index . "Odd Name" }} {{ index object "count" }}`, "5 7"},
		{`{{ (index .doc "items") | len }} {{ len .none }}`, "3 0"},
		{"{{ if .deleted }}a{{ else if .published }}b{{ end }}", "b"},
		{"{{ if gt .price 19.5 }}dear{{ end }}{{ if lt .none 5 }}x{{ end }}{{ if eq .status \"new\" \"open\" }} open{{ end }}", "dear open"},
		{`{{ len .title }} {{ slice .title 0 2 }} {{ slice .title 13 }} {{ slice .tags 1 | json }} {{ len .tags }} {{ len .none }}{{ slice .none 1 2 }}`, `13 Žl  ["sql"] 2 0`},
		{`{{ if eq .none nil }}null{{ end }}{{ if ne .price nil }} not{{ end }}{{ if .none | eq nil }} piped{{ end }}{{ range .tags }}{{ if ne . nil }}.{{ end }}{{ end }}`, "null not piped.."},
		{`{{ if eq .price 1 nil }}x{{ end }}`, "ERROR eq compares nil with one value only (template line 1)"},
		{`{{ if eq .price 19.9 }}=`, "ERROR an {{ if }}, {{ range }} or {{ with }} has no {{ end }}"},
		{`{{ if eq .price 19.9 }}={{ end }}{{ if ne .none "x" }}!={{ end }}{{ if not .none }} not{{ end }}`, "=!= not"},
		{"{{ lower .title }} {{ upper .status }} {{ title \"o'neil and SONS\" }}", "žluťoučký kůň OPEN O'neil And Sons"},
		{`{{ default "?" .none }} {{ .title | default "?" }} {{ .none | upper | default "-" }}`, "? Žluťoučký kůň -"},
		{`{{ date "2.1.2006" .created }} {{ .day | date "Jan 2006" }} {{ date "2006" .none }}{{ date "2006" .expires }}`, "29.2.2024 Feb 2024 "},
		{"{{ .created.Year }} {{ .created.Format \"15:04\" }} {{ object.created.Year }}", "2024 12:30 2024"},
		{`{{ truncate 5 "abcdef" }} {{ truncate 6 "abcdef" }} {{ truncatewords 2 "a b  c" }}`, "abcd… abcdef a b …"},
		{`{{ striptags "<p class='x'>a <b>b</b><!-- c > d --> 1 < 2</p>" }}`, "a b 1 < 2"},
		{`{{ replace "ů" "u" .title }} {{ json .tags }} {{ json .title }} {{ json .none }}`, `Žluťoučký kuň ["go","sql"] "Žluťoučký kůň" null`},
		{`{{ number 1 .price }} {{ number 3 .quantity }} {{ number 0 .none }} {{ intcomma .id }} {{ intcomma "-1234.5" }} {{ intcomma 12 }}`, "19.9 3.000  9,007,199,254,740,993 -1,234.5 12"},
		{`{{ add .quantity 1 }} {{ mul .price .quantity }} {{ sub .none 1 }}`, "4 59.70 "},
		{`{{ printf "%s-%d" .status .quantity }} {{ print .none }}`, "open-3 "},
		{"{{ trim \"  x \" }}{{- /* comment */ -}} y", "xy"},
		{"<b>{{ \"<&>\" }}</b>", "<b><&></b>"},

		{"{{ .titel }}", `ERROR no column "titel" in public.sample; did you mean "title"? (template line 1)`},
		{"\n{{ object.titel }}", `"title"? (template line 2)`},
		{"{{ object.user.username }}", `ERROR no column "user" in public.sample`},
		{"{{ lowr .title }}", `ERROR there is no function "lowr"; did you mean "lower"? (template line 1)`},
		{"{{ .title.x }}", `ERROR column "title" is text and has no member "x"`},
		{"{{ .created.Yer }}", `ERROR a time has no method "Yer"`},
		{"{{ json . }}", "ERROR the row is no value of its own"},
		{"{{ object }}", "the row is no value of its own"},
		{"{{ define \"x\" }}{{ end }}{{ template \"x\" . }}", "not available"},
		{"{{ html .title }}", `ERROR there is no function "html"`},
		{"{{ .title", "ERROR a {{ is not closed by }}"},
		{"{{ join \",\" .title }}", "ERROR error calling join: wants a list, not text"},
		{"{{ range .doc.items }}{{ .p.q }}{{ end }}", "ERROR can't evaluate field q"},
		{"{{ div .quantity 0 }}", "ERROR error calling div: division by zero"},
	}
	for _, tt := range tests {
		got := render(t, tt.template)
		ok := got == tt.want
		if strings.Contains(got, "ERROR") {
			ok = strings.Contains(got, tt.want)
		}
		if !ok {
			t.Errorf("%s: got %s, want %s", tt.template, got, tt.want)
		}
	}
}

func render(t *testing.T, text string) string {
	table := sample()
	at := newScope(table)
	tmpl, err := templateText{text: text, engine: engineGo}.compile(at)
	if err != nil {
		return "ERROR " + err.Error()
	}
	at.settle()
	s := NewScratch()
	if err := s.fill(s.view.values, at, image(table, sampleRow), nil, fieldsNumber); err != nil {
		t.Fatal(err)
	}
	var out textBuffer
	if err := tmpl.run(s, nil, s.view.values, &out); err != nil {
		return "ERROR " + err.Error()
	}
	return string(out)
}
