package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
	"gopkg.in/yaml.v3"

	"haystream/internal/conf"
	"haystream/sinks"
	"haystream/sources"
)

// Golden cases are txtar files under testdata/mapping:
//
//	config.yaml    indexes: and tables:; templates/… beside it for template_file
//	catalog        tables: "table schema.name identity", then a line "name type [key] [flags]" for each column
//	changes        one a line: row|insert|update|delete table {"column":"canonical text",…} [after image of an update]
//	               null is NULL, [] is Missing
//	actions, mapping, problems, static, stored, warnings: what is expected; -update writes them
//	static are the problems that need no catalog
var update = flag.Bool("update", false, "write what golden cases give into their files")

const goldenFolder = "../testdata/mapping"

func TestGolden(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(goldenFolder, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { goldenCase(t, file) })
	}
}

func goldenCase(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]string{}
	for _, f := range archive.Files {
		in[f.Name] = string(f.Data)
	}
	got := runCase(t, in)
	if *update {
		writeCase(t, file, archive, got)
		return
	}
	for _, name := range outputs {
		if in[name] != got[name] {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got[name], in[name])
		}
	}
}

var outputs = []string{"static", "problems", "warnings", "stored", "mapping", "actions"}

func writeCase(t *testing.T, file string, archive *txtar.Archive, got map[string]string) {
	archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return slices.Contains(outputs, f.Name) })
	for _, name := range outputs {
		if got[name] != "" {
			archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(got[name])})
		}
	}
	if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

func runCase(t *testing.T, in map[string]string) map[string]string {
	got := map[string]string{}
	catalog := parseCatalog(t, in["catalog"])
	set, err := decodeSet(in)
	if err != nil {
		got["problems"] = err.Error() + "\n"
		return got
	}
	if static := set.Check(rules(nil)); len(static) > 0 {
		got["static"] = static.Error() + "\n"
	}
	types := map[string]bool(nil)
	if list, ok := in["types"]; ok {
		types = map[string]bool{}
		for name := range strings.FieldsSeq(list) {
			types[name] = true
		}
	}
	plan, err := Options{Rules: rules(types)}.Compile(catalog, set)
	if err != nil {
		got["problems"] = err.Error() + "\n"
		return got
	}
	if got["static"] != "" {
		t.Errorf("a sound set has problems:\n%s", got["static"])
	}
	for _, w := range plan.Warnings {
		got["warnings"] += w.String() + "\n"
	}
	for _, index := range plan.Sets[0] {
		got["mapping"] += describeIndex(t, index)
		checkRestored(t, catalog, Options{Rules: rules(types)}, index)
	}
	got["stored"] = describeStored(plan)
	got["actions"] = runChanges(t, plan, in["changes"])
	return got
}

func decodeSet(in map[string]string) (Set, error) {
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(in["config.yaml"]), &node); err != nil {
		return Set{}, err
	}
	var config struct {
		Indexes map[string]*Definition  `yaml:"indexes"`
		Tables  map[string]*TableConfig `yaml:"tables"`

		TimeZone string `yaml:"time_zone"`
	}
	if len(node.Content) == 0 {
		return Set{}, errors.New("an empty file")
	}
	if err := conf.Decode(node.Content[0], &config); err != nil {
		return Set{}, err
	}
	files := fstest.MapFS{}
	for name, text := range in {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	set := Set{Indexes: config.Indexes, Tables: config.Tables, TimeZone: config.TimeZone}
	if problems := set.ReadTemplates(files); len(problems) > 0 {
		return set, problems
	}
	return set, nil
}

func describeIndex(t *testing.T, index *Index) string {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s of %s", index.Alias, strings.Join(index.Names, ", "))
	if index.Pipeline != "" {
		fmt.Fprintf(&out, " pipeline %s", index.Pipeline)
	}
	out.WriteString("\n")
	for _, raw := range []json.RawMessage{index.Mappings, index.Settings} {
		if raw == nil {
			continue
		}
		if err := json.Indent(&out, raw, "", " "); err != nil {
			t.Fatal(err)
		}
		out.WriteString("\n")
	}
	return out.String()
}

// checkRestored wants an index's saved form to give the same index again.
func checkRestored(t *testing.T, catalog []*sources.Table, options Options, index *Index) {
	t.Helper()
	set, err := Restore(index.Normalized)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := options.Compile(catalog, set)
	if err != nil {
		t.Fatalf("compile restored %s: %v", index.Alias, err)
	}
	if len(plan.Sets[0]) != 1 || !bytes.Equal(plan.Sets[0][0].Normalized, index.Normalized) {
		t.Errorf("restored %s is another:\n%s\nwant\n%s", index.Alias, plan.Sets[0][0].Normalized, index.Normalized)
	}
}

func runChanges(t *testing.T, plan *Plan, changes string) string {
	var out strings.Builder
	s := NewScratch()
	for n, line := range strings.Split(strings.TrimSpace(changes), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fmt.Fprintf(&out, "%s\n", line)
		kind, rest, _ := strings.Cut(line, " ")
		name, images, _ := strings.Cut(rest, " ")
		tables, err := tableNames{}.find(plan.Tables, name)
		if err != nil {
			t.Fatal(err)
		}
		rows := parseRows(t, tables[0], images)
		for _, index := range plan.Sets[0] {
			target := &sinks.Target{Index: index.Alias}
			for _, r := range index.Renderers {
				if r.Table != tables[0] {
					continue
				}
				before := r.Nulled.Load()
				var b sinks.Batch
				if err := apply(r, s, &b, target, kind, rows, int64(n+1)); err != nil {
					fmt.Fprintf(&out, "    error: %v\n", err)
				}
				for _, a := range b.Actions {
					out.WriteString(describeAction(&a))
				}
				if nulled := r.Nulled.Load() - before; nulled > 0 {
					fmt.Fprintf(&out, "    nulled %d\n", nulled)
				}
			}
		}
	}
	return out.String()
}

func apply(r *Renderer, s *Scratch, b *sinks.Batch, target *sinks.Target, kind string, rows []sources.Row, version int64) error {
	c := &sources.Change{Table: r.Table, Version: version}
	switch kind {
	case "row":
		return r.Row(s, b, target, rows[0], version)
	case "insert":
		c.Kind, c.After = sources.Insert, rows[0]
	case "delete":
		c.Kind, c.Before = sources.Delete, rows[0]
	case "update":
		c.Kind, c.After = sources.Update, rows[len(rows)-1]
		if len(rows) > 1 {
			c.Before = rows[0]
		}
	default:
		return fmt.Errorf("unknown change %q", kind)
	}
	return r.Change(s, b, target, c)
}

func describeAction(a *sinks.Action) string {
	op := map[sinks.Op]string{sinks.OpIndex: "index", sinks.OpDelete: "delete", sinks.OpReject: "reject"}[a.Op]
	line := fmt.Sprintf("    %s %s %s v%d", op, a.Target.Index, a.ID, a.Version)
	if a.Routing != nil {
		line += fmt.Sprintf(" routing %s", a.Routing)
	}
	if a.Body != nil {
		line += " " + string(a.Body)
	}
	if a.Op == sinks.OpIndex && !json.Valid(a.Body) {
		line += " NOT JSON"
	}
	return line + "\n"
}

// parseRows reads images: {"column":"text"}, one after the other.
func parseRows(t *testing.T, table *sources.Table, images string) []sources.Row {
	var rows []sources.Row
	d := json.NewDecoder(strings.NewReader(images))
	for d.More() {
		var image map[string]any
		if err := d.Decode(&image); err != nil {
			t.Fatalf("image %s: %v", images, err)
		}
		var a sources.Arena
		a.StartRow(len(table.Columns))
		for i := range table.Columns {
			switch v := image[table.Columns[i].Name].(type) {
			case string:
				a.Text([]byte(v))
			case []any:
				a.Missing()
			default:
				a.Null()
			}
		}
		rows = append(rows, a.EndRow())
	}
	return rows
}

func parseCatalog(t testing.TB, text string) []*sources.Table {
	var catalog []*sources.Table
	for line := range strings.SplitSeq(text, "\n") {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "table":
			schema, name, _ := strings.Cut(words[1], ".")
			table := &sources.Table{Schema: schema, Name: strings.ReplaceAll(name, "_SPACE_", " "), Home: schema == "public", EstimatedRows: -1}
			table.Identity = map[string]sources.Identity{"key": sources.IdentityKey, "full": sources.IdentityFull, "none": sources.IdentityNone}[words[2]]
			catalog = append(catalog, table)
		default:
			addColumn(t, catalog[len(catalog)-1], words)
		}
	}
	return catalog
}

// describeStored is what the row store holds, and why.
func describeStored(plan *Plan) string {
	text := ""
	for _, t := range plan.Stored {
		text += fmt.Sprintf("%s key %v: %v\n", t.Table, t.Names(t.Table.Key), t.Names(every(len(t.Table.Columns))))
		for _, index := range t.Indexes {
			text += fmt.Sprintf("  by %v\n", t.Names(index))
		}
		for _, why := range t.Why {
			text += "  " + why + "\n"
		}
	}
	return text
}

func addColumn(t testing.TB, table *sources.Table, words []string) {
	i := len(table.Columns)
	c := sources.Column{Name: words[0], Type: parseType(t, words[1])}
	for _, flag := range words[2:] {
		switch flag {
		case "key":
			table.Key, c.NotNull = append(table.Key, i), true
			if table.Identity == sources.IdentityKey {
				table.IdentityColumns = append(table.IdentityColumns, i)
			}
		case "identity":
			table.IdentityColumns = append(table.IdentityColumns, i)
		case "unvalidated":
			c.Unvalidated = "there"
		case "notnull":
			c.NotNull = true
		case "toast":
			c.MayBeMissing = true
		case "generated":
			c.Generated, c.NotLogged = true, true
		default:
			target, ok := strings.CutPrefix(flag, "references=")
			name := strings.Split(target, ".")
			if !ok || len(name) != 3 {
				t.Fatalf("column %v: unknown flag %q", words, flag)
			}
			table.ForeignKeys = append(table.ForeignKeys, sources.ForeignKey{
				Name: c.Name, Columns: []string{c.Name}, Schema: name[0], Table: name[1], Targets: name[2:],
			})
		}
	}
	table.Columns = append(table.Columns, c)
}

func parseType(t testing.TB, sql string) sources.Type {
	if elem, ok := strings.CutSuffix(sql, "[]"); ok {
		e := parseType(t, elem)
		return sources.Type{Kind: sources.Array, SQL: sql, Elem: &e}
	}
	parts := regexp.MustCompile(`\W+`).Split(sql, -1)
	number := func(i int) int {
		if i >= len(parts) {
			return 0
		}
		n, _ := strconv.Atoi(parts[i])
		return n
	}
	rangeOf := func(elem string) sources.Type {
		e := parseType(t, elem)
		return sources.Type{Kind: sources.Range, SQL: sql, Elem: &e}
	}
	plain := map[string]sources.Type{
		"smallint": {Kind: sources.Int, Size: 2}, "integer": {Kind: sources.Int, Size: 4}, "bigint": {Kind: sources.Int, Size: 8},
		"ubigint": {Kind: sources.Int, Size: 8, Unsigned: true}, "oid": {Kind: sources.Int, Size: 4, Unsigned: true},
		"text": {Kind: sources.Text}, "char": {Kind: sources.Text, Size: number(1)}, "varchar": {Kind: sources.Text, Size: number(1)}, "character": {Kind: sources.Keyword, Size: number(1)},
		"uuid": {Kind: sources.Keyword}, "boolean": {Kind: sources.Bool},
		"numeric": {Kind: sources.Decimal, Precision: number(1), Scale: number(2)},
		"real":    {Kind: sources.Float, Size: 4}, "double": {Kind: sources.Float, Size: 8},
		"date": {Kind: sources.Date}, "timestamp": {Kind: sources.Timestamp}, "timestamptz": {Kind: sources.TimestampTZ},
		"jsonb": {Kind: sources.JSON}, "bytea": {Kind: sources.Bytes}, "inet": {Kind: sources.Inet},
		"point": {Kind: sources.Point}, "geometry": {Kind: sources.Point}, "geography": {Kind: sources.JSON}, "tinyint": {Kind: sources.Bool},
	}
	switch parts[0] {
	case "int4range":
		return rangeOf("integer")
	case "int8range":
		return rangeOf("bigint")
	case "numrange":
		return rangeOf("numeric")
	case "daterange":
		return rangeOf("date")
	case "tstzrange":
		return rangeOf("timestamptz")
	case "textrange":
		return rangeOf("text")
	}
	typ, ok := plain[parts[0]]
	if !ok {
		t.Fatalf("unknown type %q", sql)
	}
	typ.SQL = sql
	return typ
}
