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

// A knowledge is how tables were at a place in the log, as far as a catalog tells that
// was read before, or at any time later.
type knowledge struct {
	tables  map[string]*sources.Table // in use: of others nothing was noted
	catalog *catalog
	unsure  map[string]map[string]bool // columns that were altered since, by table
}

// allColumns stands for those of a table, as a name that none has.
const allColumns = ""

// grows reports whether a definition only makes a column of the table grow.
func (k *knowledge) grows(t *sources.Table, d *definition) bool {
	name := k.catalog.catalogName(t.Schema, t.Name)
	known, unsure := k.catalog.tables[name], k.unsure[name]
	if known == nil || k.tables[name] == nil || unsure[allColumns] || unsure[d.name] {
		return false
	}
	at := known.sources.Column(d.name)
	return at >= 0 && d.grows(known, at)
}

// altered notes what an effect has done.
func (k *knowledge) altered(t *sources.Table, e *effect, stale *sources.Staleness) {
	name := k.catalog.catalogName(t.Schema, t.Name)
	unsure := k.unsure[name]
	if unsure == nil {
		unsure = map[string]bool{}
		k.unsure[name] = unsure
	}
	unsure[allColumns] = unsure[allColumns] || e.recodes || stale != nil && len(stale.Columns) == 0
	if stale != nil {
		for _, column := range stale.Columns {
			unsure[column] = true
		}
	}
	for i := range e.defined {
		unsure[e.defined[i].name] = true
	}
}

// knowledge is what the stream knows: by the catalog that it reads the log with, and by that of
// the one before, which ended where it began. The former may lack what the latter has already.
func (st *stream) knowledge() []*knowledge {
	all := []*knowledge{{st.tables, st.catalog, st.unsure}}
	if st.former != nil {
		all = append(all, st.former)
	}
	return all
}

// changed are the columns of a statement's definitions whose values may be others now:
// also where the same statement gives the table another character set, which they take.
func (st *stream) changed(t *sources.Table, e *effect) (names []string) {
	for i := range e.defined {
		d := &e.defined[i]
		if e.recodes || !slices.ContainsFunc(st.knowledge(), func(k *knowledge) bool { return k.grows(t, d) }) {
			names = append(names, d.name)
		}
	}
	return names
}

// leave keeps what the stream knows for one that goes on where it has ended.
func (st *stream) leave() {
	s := st.source
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left, s.leftAt = &knowledge{st.tables, st.catalog, st.unsure}, st.sent
}

// takeUp takes what the stream before has left. One that ended elsewhere may have read
// statements that come again, or not those that were read since.
func (st *stream) takeUp(at position) {
	s := st.source
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left != nil && s.leftAt == at {
		st.former = s.left
	}
	s.left = nil
}
