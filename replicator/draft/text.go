package draft

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"haystream/internal/conf"
)

// A Pipeline is what a configuration says beside its definitions.
type Pipeline struct {
	Name         string
	Server       string // whose catalog was read, for people
	URL          string // of the source, without a password
	Secret       bool   // the URL that was given has one
	PasswordFile string
	NotTables    []string // what else has names in the catalog, a line each
	Elsewhere    []string // schemas that were left out
}

// addressVariable is the environment variable for a URL that has a password.
const addressVariable = "DATABASE_URL"

// Text is the configuration, for a file. A line that begins with # and a space explains, and
// what is behind a # without one is off.
func (d *Draft) Text(p Pipeline) string {
	w := &writer{}
	w.note("", "Haystream's config of "+p.Server+", made of its catalog by `haystream init`.")
	w.note("", "Behind # and a space is an explanation. What is behind a # alone is off: take the # away.")
	w.note("", "Look it through, save it as config.yaml, and go on with: haystream check, haystream preview INDEX, haystream run.")
	w.blank()
	w.note("", "Names the pipeline, what it makes in the database, and its checkpoint. Two pipelines must not share a name.")
	w.line("name: " + conf.Quote(p.Name))
	w.blank()
	w.source(p)
	w.blank()
	w.note("", "Where documents go. For OpenSearch add: flavor: opensearch.")
	w.line("sink:")
	w.line("  elasticsearch:")
	w.line(`    addresses: ["${ELASTICSEARCH_URL:-http://localhost:9200}"]`)
	w.line("    #api_key: ${ES_API_KEY}")
	w.blank()
	d.writeRelations(w)
	w.note("", "A definition for each table: which documents its rows make. The name is that of the alias which searches use.")
	w.note("", "Delete the definitions and the fields that you do not search. A field is the column of its name, with a type that")
	w.note("", "follows from the column's. `where:` takes a condition, `template:` makes a text of several columns.")
	w.line("indexes:")
	for _, t := range d.tables {
		if len(t.refused) == 0 {
			t.write(w)
		}
	}
	d.writeRefused(w, p)
	return w.text.String()
}

func (w *writer) source(p Pipeline) {
	w.note("", "The database that is tailed. `haystream check` says what its server and the role lack.")
	w.line("source:")
	url := strings.ReplaceAll(p.URL, "${", "$${")
	if p.Secret {
		w.note("  ", "The password is not in this file. Set "+addressVariable+" to the URL that has it, or put the password alone into")
		w.note("  ", "a file, and name that.")
		url = "${" + addressVariable + ":-" + strings.ReplaceAll(p.URL, "}", "%7D") + "}"
	}
	w.line("  url: " + strconv.Quote(url))
	if p.PasswordFile != "" {
		w.line("  password_file: " + conf.Quote(p.PasswordFile))
	} else {
		w.line("  #password_file: /run/secrets/db")
	}
}

// writeRelations writes the relations that no foreign key makes by itself.
func (d *Draft) writeRelations(w *writer) {
	if !slices.ContainsFunc(d.tables, func(t *table) bool { return t.declares() }) {
		return
	}
	w.note("", "Ways to rows of other tables, for paths, templates and expressions; a foreign key is one without being named here.")
	w.note("", "They cost nothing until a field uses them: then the rows are kept in a store on this machine's disk.")
	w.line("tables:")
	for _, t := range d.tables {
		if !t.declares() {
			continue
		}
		w.line("  " + conf.QuoteKey(t.name) + ":")
		w.line("    relations:")
		for _, r := range t.relations {
			w.line("      " + conf.QuoteKey(r.name) + ": " + r.config.String())
		}
	}
	w.blank()
}

func (t *table) declares() bool { return t.why == "" && len(t.refused) == 0 && len(t.relations) > 0 }

// fieldsLimit is how many fields an index takes unless its settings say more.
const fieldsLimit = 1000

// write writes the definition of a table.
func (t *table) write(w *writer) {
	about := t.String()
	if t.why != "" {
		about += " " + t.why + "; off"
	}
	if t.EstimatedRows >= 10_000 {
		about += "; about " + grouped(t.EstimatedRows) + " rows"
	}
	w.note("  ", about)
	off := ""
	if t.why != "" {
		off = "#"
	}
	line := func(indent, text string) { w.line("  " + off + indent + text) }
	line("", conf.QuoteKey(t.alias)+":")
	line("  ", "table: "+conf.Quote(t.name))
	if mode := t.mode(); mode != "" {
		line("  ", "mode: "+mode+"  # the table keeps no rows: its inserts are in the log, and nowhere else")
	}
	if 2*len(t.fields) > fieldsLimit {
		line("  ", fmt.Sprintf("settings: {index.mapping.total_fields.limit: %d}", 4*len(t.fields)))
	}
	line("  ", "fields:")
	for _, f := range t.fields {
		if f.refused != "" {
			w.note("  "+off+"    ", named(f.from, f.refused))
			continue
		}
		line("    ", f.line(off == ""))
	}
	if len(t.shown) > 0 {
		w.note("      ", "of related rows:")
	}
	for _, f := range t.shown {
		line("    ", f.line(true))
	}
	w.blank()
}

// line is the field as a line of the definition. marked: it has a # where it is off.
func (f *field) line(marked bool) string {
	text := conf.QuoteKey(f.name) + ": "
	switch {
	case f.off && marked:
		text = "#" + text
	}
	if f.from == f.name {
		text += "{}"
	} else {
		text += conf.Quote(f.from)
	}
	if f.note != "" {
		text += "  # " + plain(f.note)
	}
	return text
}

// writeRefused says what has no definition, and why.
func (d *Draft) writeRefused(w *writer, p Pipeline) {
	var lines []string
	for _, t := range d.tables {
		for _, why := range t.refused {
			lines = append(lines, named(t.String(), why))
		}
	}
	lines = append(lines, p.NotTables...)
	if len(lines) > 0 {
		w.note("  ", "What cannot be followed, and has no definition:")
	}
	for _, line := range lines {
		w.note("  ", "- "+line)
	}
	if len(p.Elsewhere) > 0 {
		w.note("  ", "Left out: the schemas "+strings.Join(p.Elsewhere, ", ")+"; to draft them, too, add --tables '*.*'")
	}
}

// named is a reason with the name of what it is about.
func named(name, why string) string {
	if strings.Contains(why, name) {
		return why
	}
	return name + ": " + why
}

// A writer puts lines together.
type writer struct{ text strings.Builder }

func (w *writer) line(text string) { w.text.WriteString(text + "\n") }
func (w *writer) blank()           { w.line("") }

func (w *writer) note(indent, text string) { w.line(indent + "# " + plain(text)) }

// plain is a text that ends no comment.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}

// grouped is a number with a comma before each three digits.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
