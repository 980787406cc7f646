package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"haystream/sources"
)

// Facts of a table and of a column. They end a sentence: "table t has changed: …".
const (
	factTable       = "it is another table"
	factLogged      = "which of its rows are logged"
	factPublished   = "what the publication has of it"
	factColumn      = "it is another column"
	factType        = "its type"
	factCollation   = "its collation"
	factExpression  = "its generation expression"
	factValues      = "its stored values"
	factLabelPrefix = "the label "
)

// columnFactsQuery tells what a column's values depend on, but for its type's
// definition. What an ALTER COLUMN … TYPE does to stored values shows in three
// places at once: it writes the column's row in pg_attribute and its default in
// pg_attrdef anew, and the table's file. Other statements leave one of them as
// it was: VACUUM FULL, CLUSTER and the like change the file, and the first row
// where ADD COLUMN … DEFAULT had left a value there; SET DEFAULT, SET STATISTICS
// and the like leave the file.
const columnFactsQuery = `
SELECT a.attrelid, a.attname, a.attnum::int, a.atttypid, a.atttypmod, a.attcollation, a.xmin::text, COALESCE(d.oid, 0::oid),
       CASE WHEN a.attgenerated <> '' THEN pg_catalog.md5(d.adbin::text) ELSE '' END
FROM pg_catalog.pg_attribute a
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped`

// labelsQuery lists the labels of enums. What renames one writes its row anew, so that a label which had another
// name for a while, in which it went into the log, is told from what it was before.
const labelsQuery = `SELECT enumtypid, oid || '.' || xmin, enumlabel FROM pg_catalog.pg_enum WHERE enumtypid = ANY ($1)`

// membersQuery tells the members of composite types from others of their names, and from themselves as they were
// before they had another name for a while.
const membersQuery = `
SELECT t.oid, pg_catalog.array_agg(a.attnum || '.' || a.xmin ORDER BY a.attnum)
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.typrelid
WHERE t.oid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
GROUP BY t.oid`

// fileSigns is how many files of a partitioned table's partitions are taken for
// signs: what rewrites a column rewrites all of them.
const fileSigns = 3

// A fingerprinter gives tables their fingerprints.
type fingerprinter struct {
	registry *typeRegistry
	labels   map[uint32][]enumLabel
	members  map[uint32][]string
	single   map[string][]string // one sign each: most are shared
}

type enumLabel struct{ sign, text string }

// readFingerprints gives the tables their fingerprints. It must see the same
// state of the catalog as what read the relations.
func readFingerprints(ctx context.Context, conn *pgx.Conn, registry *typeRegistry, relations []relation, scope catalogScope) error {
	f := &fingerprinter{registry: registry, labels: map[uint32][]enumLabel{}, members: map[uint32][]string{}, single: map[string][]string{}}
	if err := f.readDefinitions(ctx, conn); err != nil {
		return err
	}
	if scope.publication != "" {
		var err error
		if registry.publication, err = readPublication(ctx, conn, scope.publication); err != nil {
			return err
		}
	}
	var roots []uint32
	leaves := map[uint32][]relation{}
	for _, r := range relations {
		if r.root == r.oid {
			roots = append(roots, r.oid)
		}
		if r.kind == "r" {
			leaves[r.root] = append(leaves[r.root], r)
		}
	}
	for _, root := range roots {
		t := registry.tables[root]
		slices.SortFunc(leaves[root], func(a, b relation) int { return int(int64(a.oid) - int64(b.oid)) })
		t.Fingerprint.Table = sources.Facts{factTable: f.one(number(root)), factLogged: f.one(unlogged(leaves[root]))}
		if signs := registry.publication.signs(t); len(signs) > 0 {
			t.Fingerprint.Table[factPublished] = signs
		}
		t.Fingerprint.Columns = make(map[string]sources.Facts, len(t.Columns))
	}
	if err := readParts(ctx, conn, registry, relations); err != nil {
		return err
	}
	return f.readColumns(ctx, conn, roots, leaves)
}

func number(oid uint32) string { return strconv.FormatUint(uint64(oid), 10) }

func (f *fingerprinter) one(sign string) []string {
	signs := f.single[sign]
	if signs == nil {
		signs = []string{sign}
		f.single[sign] = signs
	}
	return signs
}

// unlogged says which of a table's relations leave nothing in the log.
func unlogged(leaves []relation) string {
	text := "all"
	for _, r := range leaves {
		if r.persistence != "p" {
			text += " but " + number(r.oid)
		}
	}
	return text
}

// files are signs of what rewrites the table's rows. Without a partition there are none.
func files(leaves []relation) []string {
	if len(leaves) == 0 {
		return []string{"none"}
	}
	var signs []string
	for _, r := range leaves[:min(len(leaves), fileSigns)] {
		signs = append(signs, "f"+number(r.file))
	}
	return signs
}

func (f *fingerprinter) readDefinitions(ctx context.Context, conn *pgx.Conn) error {
	var enums, composites []uint32
	for oid, t := range f.registry.types {
		switch t.class {
		case "e":
			enums = append(enums, oid)
		case "c":
			composites = append(composites, oid)
		}
	}
	var oid uint32
	var label enumLabel
	if len(enums) > 0 {
		rows, err := conn.Query(ctx, labelsQuery, enums)
		if err != nil {
			return err
		}
		_, err = pgx.ForEachRow(rows, []any{&oid, &label.sign, &label.text}, func() error {
			f.labels[oid] = append(f.labels[oid], label)
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(composites) == 0 {
		return nil
	}
	rows, err := conn.Query(ctx, membersQuery, composites)
	if err != nil {
		return err
	}
	var members []string
	_, err = pgx.ForEachRow(rows, []any{&oid, &members}, func() error {
		f.members[oid] = slices.Clone(members)
		return nil
	})
	return err
}

func (f *fingerprinter) readColumns(ctx context.Context, conn *pgx.Conn, roots []uint32, leaves map[uint32][]relation) error {
	rows, err := conn.Query(ctx, columnFactsQuery, roots)
	if err != nil {
		return err
	}
	var root, typ, collation, byDefault uint32
	var place int
	var typmod int32
	var name, written, expression string
	written0, signs := "", []string(nil) // most columns of a table were made at once
	root0 := uint32(0)
	_, err = pgx.ForEachRow(rows, []any{&root, &name, &place, &typ, &typmod, &collation, &written, &byDefault, &expression}, func() error {
		if root != root0 || written != written0 {
			root0, written0, signs = root, written, append([]string{"x" + written}, files(leaves[root])...)
		}
		facts := sources.Facts{factColumn: f.one(strconv.Itoa(place)), factValues: signs}
		facts[factType] = f.one(f.typeSign(facts, "", typ, typmod))
		if byDefault != 0 {
			facts[factValues] = append(slices.Clone(signs), "d"+number(byDefault))
		}
		if collation != 0 {
			facts[factCollation] = f.one(number(collation))
		}
		if expression != "" {
			facts[factExpression] = f.one(expression)
		}
		f.registry.tables[root].Fingerprint.Columns[name] = facts
		return nil
	})
	return err
}

// textSign is that of text and varchar, whose values print alike.
const textSign = "text"

// typeSign says what a type's values print as depends on, apart from the values
// themselves. Each label of an enum is a fact of its own, as more may come. path
// leads to the type through members of composite types.
func (f *fingerprinter) typeSign(facts sources.Facts, path string, oid uint32, typmod int32) string {
	t := f.registry.types[oid]
	if t == nil {
		return number(oid)
	}
	switch {
	case t.class == "d": // its constraints do not matter to values that are there
		return f.typeSign(facts, path, t.base, t.typmod)
	case t.class == "e":
		for _, label := range f.labels[oid] {
			facts[factLabelPrefix+label.text+path] = f.one(label.sign)
		}
		return "enum " + number(oid)
	case t.class == "c":
		return f.compositeSign(facts, path, t)
	case t.class == "r", t.class == "m":
		return "range " + number(oid) + " of " + f.typeSign(facts, path, t.elem, -1)
	case t.category == "A" && t.elem != 0:
		return "array of " + f.typeSign(facts, path, t.elem, typmod)
	case t.builtin && (t.name == "varchar" || t.name == "text"):
		return textSign
	case t.builtin:
		return number(oid)
	}
	// What an extension's value becomes may depend on its modifier.
	return fmt.Sprintf("%d as %d", oid, extensionType(t.name, typmod).Kind)
}

func (f *fingerprinter) compositeSign(facts sources.Facts, path string, t *catalogType) string {
	var b strings.Builder
	b.WriteString("composite " + number(t.oid) + " (")
	for i, name := range t.fields {
		sign := "unknown"
		if members := f.members[t.oid]; i < len(members) {
			sign = members[i]
		}
		fmt.Fprintf(&b, "%s %q %s,", sign, name, f.typeSign(facts, path+" of "+name, t.fieldTypes[i], t.fieldTypmods[i]))
	}
	return b.String() + ")"
}
