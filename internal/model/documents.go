package model

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"haystream/mapping"
	"haystream/sources"
)

// schema is that of the tables.
const schema = "s"

var integer = sources.Type{Kind: sources.Int, Size: 32, SQL: "int"}

// Catalog is the tables as a source gives them.
func (m *Model) Catalog() (catalog []*sources.Table) {
	for n, name := range m.Names {
		table := &sources.Table{
			Schema: schema, Name: name, Key: []int{0}, IdentityColumns: []int{0}, Identity: sources.IdentityKey,
			Columns: []sources.Column{{Name: "id", Type: integer, NotNull: true}},
		}
		for i, ref := range m.Refs[n] {
			column := columnName(i)
			if i > 0 {
				table.Columns = append(table.Columns, sources.Column{Name: column, Type: integer})
			}
			if ref == Nothing {
				continue
			}
			table.ForeignKeys = append(table.ForeignKeys, sources.ForeignKey{
				Name: name + column, Columns: []string{column}, Schema: schema, Table: m.Names[ref.Table], Targets: []string{"id"},
				OnDelete: ref.OnDelete, OnUpdate: ref.OnUpdate, Unlogged: true,
			})
		}
		table.Columns = append(table.Columns, m.columns(n)...)
		if m.Untold {
			table.Fingerprint = m.fingerprint(n)
		}
		table.Columns = append(table.Columns, sources.Column{Name: "u", Type: integer, NotNull: true})
		catalog = append(catalog, table)
	}
	return catalog
}

// Definitions have an index for each table. A row's document shows its columns, the
// unique column of what it refers to, and unless they show less that of what refers to it; the unique column is its id.
func (m *Model) Definitions() mapping.Set {
	set := mapping.Set{Indexes: map[string]*mapping.Definition{}, Tables: map[string]*mapping.TableConfig{}}
	for _, name := range m.Names {
		set.Tables[name] = &mapping.TableConfig{Relations: map[string]*mapping.Relation{}}
		set.Indexes[name] = &mapping.Definition{Table: name, ID: mapping.Template{Text: "{{ .u }}"}, Fields: mapping.Fields{Named: map[string]*mapping.Field{"id": nil, "u": nil}}}
	}
	for n, name := range m.Names {
		for _, c := range m.cells(n) {
			set.Indexes[name].Fields.Named[c.Name] = nil
		}
		for i, ref := range m.Refs[n] {
			column := columnName(i)
			if i > 0 {
				set.Indexes[name].Fields.Named[column] = nil
			}
			if ref == Nothing {
				continue
			}
			other := m.Names[ref.Table]
			to, from := "to_"+column, "from_"+name+"_"+column
			set.Tables[name].Relations[to] = &mapping.Relation{Table: other, Column: []string{column}, TargetColumn: []string{"id"}}
			set.Indexes[name].Fields.Named[to] = &mapping.Field{From: to + ".u"}
			for _, c := range m.cells(ref.Table) {
				set.Indexes[name].Fields.Named[to+"_"+c.Name] = &mapping.Field{From: to + "." + c.Name}
			}
			set.Tables[other].Relations[from] = &mapping.Relation{Table: name, Column: []string{column}, TargetColumn: []string{"id"}, Many: new(true)}
			if !m.Less {
				set.Indexes[other].Fields.Named[from] = &mapping.Field{From: from + ".u"}
			}
		}
	}
	return set
}

// columnName is the name of a column before the unique one.
func columnName(i int) string {
	if i == 0 {
		return "id"
	}
	return fmt.Sprintf("r%d", i)
}

// Documents are what the indexes of Definitions must hold, by index and id, with their fields in order.
func (m *Model) Documents() map[string]string {
	all := map[string]string{}
	for n, name := range m.Names {
		for _, row := range m.Rows[n] {
			all[name+"/"+strconv.Itoa(unique(row))] = m.document(n, row)
		}
	}
	return all
}

func (m *Model) document(n int, row []int) string {
	fields := map[string][]byte{"id": number(nil, row[0]), "u": number(nil, unique(row))}
	m.showCells(fields, "", n, row)
	for i, ref := range m.Refs[n] {
		if i > 0 {
			fields[columnName(i)] = number(nil, row[i])
		}
		if ref != Nothing {
			shown := absent
			if to := m.Rows[ref.Table][row[i]]; to != nil {
				shown = unique(to)
			}
			fields["to_"+columnName(i)] = number(nil, shown)
			m.showCells(fields, "to_"+columnName(i)+"_", ref.Table, m.Rows[ref.Table][row[i]])
		}
	}
	for other, refs := range m.Refs {
		for i, ref := range refs {
			if ref.Table != n || m.Less {
				continue
			}
			from := []byte{'['}
			for _, k := range slices.Sorted(maps.Keys(m.Rows[other])) {
				if child := m.Rows[other][k]; child[i] == row[0] {
					if len(from) > 1 {
						from = append(from, ',')
					}
					from = number(from, unique(child))
				}
			}
			fields["from_"+m.Names[other]+"_"+columnName(i)] = append(from, ']')
		}
	}
	return object(fields)
}

// object is a JSON object with its fields in order.
func object(fields map[string][]byte) string {
	text := []byte{'{'}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = append(strconv.AppendQuote(text, name), ':')
		text = append(text, fields[name]...)
	}
	return string(append(text, '}'))
}

func number(text []byte, cell int) []byte {
	if cell == absent {
		return append(text, "null"...)
	}
	return strconv.AppendInt(text, int64(cell), 10)
}
