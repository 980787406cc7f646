package mysql

import (
	"slices"
	"strconv"
	"strings"

	"haystream/sources"
)

// A definition is what MODIFY or CHANGE makes of a column. It has no more than what
// leaves values as they are where the column takes all values that it took before.
type definition struct {
	name               string
	dataType           string
	length             int64    // of varchar and varbinary
	labels             []string // of enum and set
	notNull            bool
	charset, collation string // empty: the table's
}

// definition reads what follows a column's name. Not known: it may change values.
func (s *scanner) definition(name string) (d definition, known bool) {
	d = definition{name: name, dataType: strings.ToLower(s.word())}
	switch d.dataType {
	case "varchar", "varbinary":
		if s.skip("(") {
			d.length, _ = strconv.ParseInt(s.token(), 10, 64)
		}
		known = d.length > 0 && s.skip(")")
	case "enum", "set":
		if known = s.skip("("); known {
			d.labels, known = s.labels()
		}
	}
	for known {
		switch word := s.peek(); word {
		case ",", ";", "":
			return d, word != "" || s.atEnd()
		case "NOT":
			d.notNull = true
			known = s.skipAll("NOT", "NULL")
		case "NULL":
			s.skip("NULL")
		case "DEFAULT", "COMMENT":
			s.skip(word)
			value := s.token()
			known = s.quote == '\'' || s.quote == 0 && strings.EqualFold(value, "NULL")
		case "CHARACTER", "CHARSET":
			known = s.skipAll("CHARACTER", "SET") || s.skip("CHARSET")
			d.charset = strings.ToLower(s.token())
		case "COLLATE":
			s.skip("COLLATE")
			d.collation = strings.ToLower(s.token())
		default:
			known = false
		}
	}
	return d, false
}

// labels are those of an enum or a set, up to the closing parenthesis.
func (s *scanner) labels() (all []string, known bool) {
	for again := true; again; again = s.skip(",") {
		before := s.text
		label := s.token()
		if s.quote != '\'' || strings.Contains(before[:len(before)-len(s.text)], `\`) {
			return nil, false
		}
		all = append(all, label)
	}
	return all, s.skip(")")
}

// grows reports whether a column that is as the catalog has it takes more values by
// the definition than before, and keeps all that it has. A column that is already as
// defined does not: the catalog may be of later, and what it was before is not known.
// One that has less than what is defined was not defined so since, unless the log
// goes on with a statement that has taken some of it back; that one is not harmless.
func (d *definition) grows(t *table, at int) bool {
	was := &t.columns[at]
	known := &t.sources.Columns[at]
	switch {
	case was.dataType != d.dataType, was.refused != nil, known.Generated, d.charset != "" && (d.collation == "" || d.charset != was.charset):
		return false
	case was.charset != "" && was.collation != d.collation && (d.collation != "" || was.collation != t.collation):
		return false
	case d.notNull && !known.NotNull:
		return false
	}
	more := known.NotNull && !d.notNull && !slices.Contains(t.sources.Key, at) // a key's column stays as it was
	if d.labels == nil {
		return d.length >= was.length && (more || d.length > was.length)
	}
	labels, err := parseLabels(was.fullType)
	if err != nil || len(labels) > len(d.labels) {
		return false
	}
	for i, label := range labels {
		if d.labels[i] != string(label) {
			return false
		}
	}
	return more || len(labels) < len(d.labels)
}

// changed are the columns of a statement's definitions whose values may be others now.
func (st *stream) changed(t *sources.Table, e *effect) (names []string) {
	known, unsure := st.catalog.table(t.Schema, t.Name), st.unsure[t]
	for i := range e.defined {
		d := &e.defined[i]
		at := known.sources.Column(d.name)
		if unsure[allColumns] || unsure[d.name] || at < 0 || !d.grows(known, at) {
			names = append(names, d.name)
		}
	}
	return names
}

// allColumns stands for those of a table, as a name that none has.
const allColumns = ""

// alteredColumns notes which columns may not be as the catalog has them, until it is read again.
func (st *stream) alteredColumns(t *sources.Table, e *effect, stale *sources.Staleness) {
	names := []string{}
	switch {
	case e.recodes, stale != nil && len(stale.Columns) == 0:
		names = append(names, allColumns)
	case stale != nil:
		names = append(names, stale.Columns...)
	}
	for i := range e.defined {
		names = append(names, e.defined[i].name)
	}
	for _, name := range names {
		if st.unsure[t] == nil {
			st.unsure[t] = map[string]bool{}
		}
		st.unsure[t][name] = true
	}
}
