package mapping

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"haystream/internal/conf"
	"haystream/sources"
)

// A tableName is a table's name as configuration writes it: table or
// schema.table, letter for letter as in the catalog. Double quotes keep dots
// and glob characters from meaning anything: "my.schema"."table*".
type tableName struct {
	schema, table string // glob patterns
	bare          bool   // no schema given
	glob          bool
}

// parseTableName reads a name.
func parseTableName(text string) (tableName, error) {
	var parts []string
	var part strings.Builder
	name, quoted := tableName{}, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '"' && quoted && i+1 < len(text) && text[i+1] == '"':
			part.WriteByte('"')
			i++
		case c == '"':
			quoted = !quoted
		case c == '.' && !quoted:
			parts = append(parts, part.String())
			part.Reset()
		case strings.IndexByte(`*?[]\`, c) >= 0 && quoted:
			part.WriteString(`\` + string(c))
		default:
			name.glob = name.glob || c == '*' || c == '?' || c == '['
			part.WriteByte(c)
		}
	}
	parts = append(parts, part.String())
	switch {
	case quoted:
		return name, fmt.Errorf("%s has an open quote", text)
	case slices.Contains(parts, ""):
		return name, fmt.Errorf("%q is not a table's name; write table or schema.table", text)
	case len(parts) == 1:
		name.bare, name.schema, name.table = true, "*", parts[0]
	case len(parts) == 2:
		name.schema, name.table = parts[0], parts[1]
	default:
		return name, fmt.Errorf("%s has too many dots; write schema.table, and double quotes around a name that holds a dot", text)
	}
	if _, err := path.Match(name.schema+name.table, ""); err != nil {
		return name, fmt.Errorf("%s is not a glob: %w", text, err)
	}
	return name, nil
}

// matches reports whether the table is one that the name stands for.
func (n tableName) matches(t *sources.Table) bool {
	schema, _ := path.Match(n.schema, t.Schema) // the pattern was tried by parseTableName
	table, _ := path.Match(n.table, t.Name)
	return schema && table
}

// tableNames say what names without a schema mean.
type tableNames struct {
	before map[string]string // their schemas, as settled by an earlier plan
	now    map[string]string // the same as settled by this one
}

// find returns the tables that a name stands for, sorted by name. A name that
// is not a glob stands for exactly one. One without a schema is looked up where
// it was found before, else at home first.
func (n tableNames) find(catalog []*sources.Table, text string) ([]*sources.Table, error) {
	name, err := parseTableName(text)
	if err != nil {
		return nil, err
	}
	settled, known := n.before[text]
	if known = known && name.bare; known {
		catalog = slices.DeleteFunc(slices.Clone(catalog), func(t *sources.Table) bool { return t.Schema != settled })
	}
	var found, home []*sources.Table
	hasHome := false
	for _, t := range catalog {
		hasHome = hasHome || t.Home
		if name.matches(t) {
			found = append(found, t)
			if t.Home {
				home = append(home, t)
			}
		}
	}
	if name.bare && (len(home) > 0 || name.glob && hasHome) {
		found = home
	}
	slices.SortFunc(found, compareTables)
	switch {
	case len(found) == 0 && known:
		return nil, fmt.Errorf("%s stands for %s.%[1]s, which is gone, or which the source's role cannot see any more; for a table elsewhere write schema.table", text, settled)
	case len(found) == 0 && name.glob:
		return nil, fmt.Errorf("no table matches %s", text)
	case len(found) == 0:
		return nil, fmt.Errorf("there is no table %s that the source's role can see%s", text, didYouMeanTable(catalog, name))
	case len(found) > 1 && !name.glob:
		return nil, fmt.Errorf("%s is ambiguous; write one of %s", text, listTables(found))
	}
	if name.bare && n.now != nil && !slices.ContainsFunc(found, func(t *sources.Table) bool { return t.Schema != found[0].Schema }) {
		n.now[text] = found[0].Schema
	}
	return found, nil
}

// FindTables returns the tables that `table:` of a definition would stand for, a glob too. Of
// a name that is a view's the error says so.
func FindTables(catalog []*sources.Table, views []sources.View, name string) ([]*sources.Table, error) {
	return (&schema{catalog: catalog, views: views}).tables(name)
}

func compareTables(a, b *sources.Table) int {
	return cmp.Or(strings.Compare(a.Schema, b.Schema), strings.Compare(a.Name, b.Name))
}

func listTables(tables []*sources.Table) string {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = configName(t)
	}
	return strings.Join(names, ", ")
}

func didYouMeanTable(catalog []*sources.Table, name tableName) string {
	var names []string
	for _, t := range catalog {
		if name.bare {
			names = append(names, quoteName(t.Name))
		} else {
			names = append(names, configName(t))
		}
	}
	slices.Sort(names)
	if name.bare {
		return conf.DidYouMean(name.table, names)
	}
	return conf.DidYouMean(name.schema+"."+name.table, names)
}

// configName is the table's full name as parseTableName reads it.
func configName(t *sources.Table) string { return quoteName(t.Schema) + "." + quoteName(t.Name) }

func quoteName(s string) string {
	if strings.ContainsAny(s, `.*?[]\"`) {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}

// sqlName is the table's name as a SQL statement takes it.
func sqlName(t *sources.Table) string { return sqlIdentifier(t.Schema) + "." + sqlIdentifier(t.Name) }

func sqlIdentifier(s string) string {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && c != '_' && (i == 0 || c < '0' || c > '9') {
			return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
		}
	}
	return s
}
