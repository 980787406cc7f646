package model

import (
	"fmt"
	"strconv"

	"haystream/mapping"
)

// Flat adds definitions that show nothing but columns: of each table one of all rows, whose ids are the keys, and
// one of those with an even unique column, or an odd one and no references where they show less.
func (m *Model) Flat(set mapping.Set) {
	for n, name := range m.Names {
		for _, where := range []string{"", fmt.Sprintf("u %% 2 == %d", m.parity())} {
			d := &mapping.Definition{Table: name, Where: where, Fields: mapping.Fields{Named: map[string]*mapping.Field{"id": nil, "u": nil}}}
			for _, c := range m.cells(n) {
				d.Fields.Named[c.Name] = nil
			}
			for i := range m.Refs[n] {
				if i == 0 || !m.Less {
					d.Fields.Named[columnName(i)] = nil
				}
			}
			set.Indexes[flatName(name, where != "")] = d
		}
	}
}

// parity is of the unique column in the second definition of a table.
func (m *Model) parity() int {
	if m.Less {
		return 1
	}
	return 0
}

func flatName(table string, even bool) string {
	if even {
		return table + "_even"
	}
	return table + "_flat"
}

// FlatDocuments adds what the indexes of Flat must hold.
func (m *Model) FlatDocuments(all map[string]string) {
	for n, name := range m.Names {
		for key, row := range m.Rows[n] {
			fields := map[string][]byte{"u": number(nil, unique(row))}
			m.showCells(fields, "", n, row)
			for i := range m.Refs[n] {
				if i == 0 || !m.Less {
					fields[columnName(i)] = number(nil, row[i])
				}
			}
			text := object(fields)
			all[flatName(name, false)+"/"+strconv.Itoa(key)] = text
			if unique(row)%2 == m.parity() {
				all[flatName(name, true)+"/"+strconv.Itoa(key)] = text
			}
		}
	}
}
