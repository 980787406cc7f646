package mysql

import (
	"slices"
	"strings"
)

// An alteration is what an ALTER TABLE does. Each of its specifications is known
// to be harmless, or concerns some columns, or all rows.
type alteration struct {
	*scanner
	effect
	all     bool     // rows are others
	others  []effect // on tables that it names besides
	unknown bool     // it may concern tables that it does not tell
}

// toEnd stops at no specification: what comes is the last one.
const toEnd = ""

// read takes all specifications (MySQL documentation, "ALTER TABLE Statement";
// MariaDB documentation, "ALTER TABLE").
func (a *alteration) read() {
	a.wait()
	for !a.atEnd() {
		if !a.skip(",") {
			a.specification()
		}
	}
	switch {
	case a.all:
		a.columns, a.defined, a.texts, a.recomputes = nil, nil, false, false
	case a.texts:
		a.reason = "has changed its character set by ALTER TABLE"
	case len(a.columns)+len(a.defined) > 0:
		names := slices.Clone(a.columns)
		for i := range a.defined {
			names = append(names, a.defined[i].name)
		}
		a.reason = "has changed its column " + strings.Join(names, ", ") + " by ALTER TABLE"
	}
}

// stale says that all rows are others now.
func (a *alteration) stale(reason string) {
	if !a.all {
		a.all, a.reason = true, reason
	}
}

// strange is a specification that is not known.
func (a *alteration) strange(words ...string) {
	a.unknown, a.reshapes, a.moves = true, true, true
	a.stale("was changed by an ALTER TABLE that is not known to be harmless: … " + strings.TrimSpace(strings.Join(words, " ")) + " …")
	a.skipTo(",")
}

// concerns says that values of columns are others now.
func (a *alteration) concerns(columns ...string) {
	a.reshapes = true
	for _, column := range columns {
		if !slices.Contains(a.columns, column) {
			a.columns = append(a.columns, column)
		}
	}
}

// column is the next column's name. MariaDB takes its table's in front of it.
func (a *alteration) column() string { return a.name().name }

func (a *alteration) specification() {
	switch word := a.word(); word {
	case "ADD":
		a.add()
	case "DROP":
		a.drop()
	case "MODIFY", "CHANGE":
		a.define(word == "CHANGE")
	case "ALTER":
		a.alterColumn()
	case "RENAME":
		a.rename()
	case "CONVERT":
		a.convert()
	case "PARTITION":
		if !a.skip("BY") || a.peek() == "SYSTEM_TIME" {
			a.strange("PARTITION")
		}
		a.skipTo(toEnd)
	case "REMOVE", "UPGRADE":
		if !a.skip("PARTITIONING") {
			a.strange(word)
		}
	case "COALESCE", "REORGANIZE", "REBUILD", "OPTIMIZE", "ANALYZE", "CHECK", "REPAIR", "TRUNCATE", "EXCHANGE", "DISCARD", "IMPORT":
		a.partition(word)
	default:
		a.option(word)
	}
}

// isIndex reports whether ADD or DROP goes on with an index or a constraint, and no column.
func (a *alteration) isIndex() bool {
	ahead := *a.scanner
	switch ahead.word() {
	case "INDEX", "KEY", "UNIQUE", "PRIMARY", "FULLTEXT", "SPATIAL", "CONSTRAINT", "FOREIGN", "CHECK":
		return true
	case "VECTOR":
		next := ahead.word()
		return next == "INDEX" || next == "KEY" || next == "("
	}
	return false
}

// reference skips what may have a foreign key that acts: another one is not
// harmless to changes that come before it in the log. stops are skipTo's.
func (a *alteration) reference(stops string) {
	before := a.text
	a.skipTo(stops)
	text := strings.ToUpper(before[:len(before)-len(a.text)])
	a.refers = a.refers || strings.Contains(text, "REFERENCES") && (strings.Contains(text, "CASCADE") || strings.Contains(text, "SET"))
}

// define is MODIFY or CHANGE.
func (a *alteration) define(renames bool) {
	a.recomputes, a.reshapes, a.moves = true, true, true
	a.skip("COLUMN")
	a.ifExists()
	name := a.column()
	now := name
	if renames {
		now = a.column()
	}
	ahead := *a.scanner
	if d, known := ahead.definition(name); known && now == name {
		a.defined = append(a.defined, d)
	} else {
		a.concerns(name, now)
	}
	a.reference(",")
}

func (a *alteration) add() {
	switch {
	case a.isIndex():
		a.addIndex(",")
	case a.skip("PARTITION"):
		a.skipTo(toEnd)
	case a.skipAll("SYSTEM", "VERSIONING"):
		a.reshapes = true
		a.stale("has got SYSTEM VERSIONING by ALTER TABLE")
	case a.skipAll("PERIOD", "FOR"):
		a.reshapes = true
		a.stale("has got a period by ALTER TABLE")
		a.skipTo(",")
	default:
		a.skip("COLUMN")
		exists := a.ifNotExists()
		if a.skip("(") {
			a.addColumns(exists)
			return
		}
		a.addColumn(exists)
	}
}

// addIndex: a primary key's columns cannot be NULL any more. Where the server is
// not strict, such values are others now. stops are skipTo's.
func (a *alteration) addIndex(stops string) {
	ahead := *a.scanner
	if ahead.skip("CONSTRAINT") && ahead.peek() != "PRIMARY" {
		ahead.token()
	}
	if ahead.skip("PRIMARY") && ahead.skipPast("(") {
		for again := true; again; again = ahead.skip(",") {
			a.concerns(ahead.name().name)
			if ahead.skip("(") {
				ahead.skipPast(")")
			}
			ahead.skip("ASC", "DESC", "WITHOUT", "OVERLAPS")
		}
		a.recomputes, a.odd = true, a.odd || ahead.odd || !ahead.skip(")")
	}
	a.reference(stops)
}

// addColumns reads a list of them up to its closing parenthesis.
func (a *alteration) addColumns(exists bool) {
	for {
		if a.isIndex() {
			a.addIndex(",)")
		} else {
			a.addColumn(a.ifNotExists() || exists)
		}
		if !a.skip(",") {
			a.odd = a.odd || !a.skip(")")
			return
		}
	}
}

// addColumn: where the column was there, IF NOT EXISTS leaves it as it was, and
// where it was not, nothing of it was read.
func (a *alteration) addColumn(exists bool) {
	a.reshapes, a.moves = true, true
	if name := a.column(); !exists {
		a.concerns(name)
	}
	a.reference(",)")
}

func (a *alteration) drop() {
	switch {
	case a.isIndex():
		next := a.peek()
		a.frees = a.frees || next == "FOREIGN" || next == "CONSTRAINT" // which may have acted
		a.refers = a.refers || a.frees
		a.skipTo(",")
	case a.skip("PARTITION"):
		a.stale("has lost a partition by ALTER TABLE")
		a.skipTo(toEnd)
	case a.skipAll("SYSTEM", "VERSIONING"):
		a.reshapes = true
		a.stale("has lost SYSTEM VERSIONING by ALTER TABLE")
	case a.skipAll("PERIOD", "FOR"):
		a.reshapes = true
		a.stale("has lost a period by ALTER TABLE")
		a.skipTo(",")
	default:
		a.skip("COLUMN")
		a.ifExists()
		a.moves = true
		a.concerns(a.column())
		a.skip("RESTRICT", "CASCADE")
	}
}

// alterColumn: another default is that of rows to come.
func (a *alteration) alterColumn() {
	switch a.peek() {
	case "INDEX", "KEY", "CHECK", "CONSTRAINT":
		a.skipTo(",")
		return
	}
	a.skip("COLUMN")
	a.ifExists()
	column := a.column()
	a.reshapes = true
	if !a.skipAll("SET", "DEFAULT") && !a.skipAll("DROP", "DEFAULT") && !a.skipAll("SET", "VISIBLE") && !a.skipAll("SET", "INVISIBLE") {
		a.recomputes = true
		a.concerns(column)
	}
	a.skipTo(",")
}

func (a *alteration) rename() {
	switch a.peek() {
	case "INDEX", "KEY":
		a.skipTo(",")
		return
	case "COLUMN":
		a.skip("COLUMN")
		a.ifExists()
		a.concerns(a.column())
		if !a.skip("TO") {
			a.strange("RENAME COLUMN")
			return
		}
		a.concerns(a.column())
		return
	}
	if !a.skip("TO") && !a.skip("AS") {
		a.skip("=")
	}
	a.stale("was renamed")
	a.others = append(a.others, effect{table: a.name(), reason: "was replaced by ALTER TABLE … RENAME"})
}

func (a *alteration) convert() {
	switch {
	case a.skipAll("TO", "CHARACTER", "SET"), a.skipAll("TO", "CHARSET"):
		a.texts, a.recomputes, a.reshapes, a.recodes = true, true, true, true
		a.skipTo(",")
	case a.skip("TABLE"): // CONVERT TABLE t TO PARTITION p …
		a.stale("has got a partition by ALTER TABLE")
		a.others = append(a.others, effect{table: a.name(), reason: "became a partition"})
		a.skipTo(toEnd)
	case a.skip("PARTITION") && a.skipPast("TABLE"): // CONVERT PARTITION p TO TABLE t …
		a.stale("has lost a partition by ALTER TABLE")
		a.others = append(a.others, effect{table: a.name(), reason: "was created anew"})
		a.skipTo(toEnd)
	default:
		a.strange("CONVERT")
	}
}

// partition is what is done to some partitions, alone in its statement.
func (a *alteration) partition(verb string) {
	switch {
	case (verb == "DISCARD" || verb == "IMPORT") && a.skipPast("TABLESPACE"):
		a.stale("has other rows by ALTER TABLE … " + verb + " TABLESPACE")
	case !a.skip("PARTITION"):
		a.strange(verb)
		return
	case verb == "TRUNCATE":
		a.stale("has lost rows by ALTER TABLE … TRUNCATE PARTITION")
	case verb == "EXCHANGE":
		const reason = "has other rows by ALTER TABLE … EXCHANGE PARTITION"
		a.stale(reason)
		if a.skipPast("WITH") && a.skip("TABLE") {
			a.others = append(a.others, effect{table: a.name(), reason: reason})
		} else {
			a.strange(verb)
		}
	case verb == "DISCARD" || verb == "IMPORT":
		a.strange(verb)
		return
	}
	a.skipTo(toEnd) // or kept all rows
}

// harmlessOptions are those of a table that leave its rows as they are; each has a value.
var harmlessOptions = []string{
	"COLLATE", "CHARSET", "COMMENT", "AUTO_INCREMENT", "ROW_FORMAT", "KEY_BLOCK_SIZE", "AVG_ROW_LENGTH", "MAX_ROWS", "MIN_ROWS", "CHECKSUM", "TABLE_CHECKSUM",
	"DELAY_KEY_WRITE", "PACK_KEYS", "PASSWORD", "STATS_PERSISTENT", "STATS_AUTO_RECALC", "STATS_SAMPLE_PAGES", "COMPRESSION", "ENCRYPTION", "TABLESPACE", "STORAGE",
	"AUTOEXTEND_SIZE", "SECONDARY_ENGINE", "ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE", "LOCK", "ALGORITHM",
	"TRANSACTIONAL", "PAGE_CHECKSUM", "PAGE_COMPRESSED", "PAGE_COMPRESSION_LEVEL", "ENCRYPTED", "ENCRYPTION_KEY_ID",
}

// keepingEngines are those that keep the rows which they are given.
var keepingEngines = []string{"INNODB", "MYISAM", "ARIA", "MEMORY", "HEAP", "ROCKSDB", "TOKUDB", "NDB", "NDBCLUSTER"}

func (a *alteration) option(word string) {
	a.recodes = a.recodes || word == "COLLATE" || word == "CHARSET" || word == "CHARACTER"
	switch {
	case slices.Contains(harmlessOptions, word):
		a.value()
	case word == "DEFAULT" && (a.peek() == "CHARACTER" || a.peek() == "CHARSET" || a.peek() == "COLLATE"):
	case word == "CHARACTER" && a.skip("SET"), (word == "DATA" || word == "INDEX") && a.skip("DIRECTORY"):
		a.value()
	case word == "ENGINE" || word == "TYPE":
		if engine := strings.ToUpper(a.value()); !slices.Contains(keepingEngines, engine) {
			a.strange("ENGINE", engine)
		}
	case word == "FORCE", word == "SECONDARY_LOAD", word == "SECONDARY_UNLOAD", (word == "DISABLE" || word == "ENABLE") && a.skip("KEYS"):
	case word == "ORDER" && a.skip("BY"):
		for again := true; again; again = a.skip(",") {
			a.name()
			a.skip("ASC", "DESC")
		}
	default:
		a.strange(word)
	}
}

// value is an option's.
func (a *alteration) value() string {
	a.skip("=")
	return a.token()
}
