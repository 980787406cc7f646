package mysql

import (
	"testing"

	"haystream/sources"
)

// A column keeps its values where what it is defined to be takes all of what it took,
// and more: only then is it known that it was as the catalog has it.
func TestGrowth(t *testing.T) {
	text := func(fullType string, notNull bool) *table {
		c := catalogColumn{name: "a", dataType: "varchar", fullType: fullType, charset: "latin1", collation: "latin1_swedish_ci"}
		switch fullType[0] {
		case 'e':
			c.dataType = "enum"
		default:
			c.length = 10
		}
		known := &table{
			sources: &sources.Table{Schema: "db", Name: "t", Columns: []sources.Column{{Name: "a", NotNull: notNull}}}, columns: []column{{catalogColumn: c}},
			collation: "latin1_swedish_ci",
		}
		return known
	}
	short, strict := text("varchar(10)", false), text("varchar(10)", true)
	key := text("varchar(10)", true)
	key.sources.Key = []int{0}
	computed := text("varchar(10)", false)
	computed.sources.Columns[0].Generated = true
	other := text("varchar(10)", false)
	other.collation = "utf8mb4_bin"
	enum := text(`enum('x','it''s')`, false)
	for _, test := range []struct {
		was   *table
		alter string
		want  bool
	}{
		{short, "MODIFY a VARCHAR(20)", true},
		{short, "MODIFY COLUMN `a` varchar (20) NULL DEFAULT 'x, y' COMMENT 'z'", true},
		{short, "CHANGE a a VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci DEFAULT NULL, ALGORITHM=INPLACE", true},
		{other, "MODIFY a VARCHAR(20) COLLATE latin1_swedish_ci;", true},
		{strict, "MODIFY a VARCHAR(20) NOT NULL DEFAULT ''", true},
		{strict, "MODIFY a VARCHAR(10)", true},
		{key, "MODIFY a VARCHAR(11)", true},
		{enum, "MODIFY a ENUM('x', 'it''s', 'new')", true},

		{short, "MODIFY a VARCHAR(10)", false}, // it may be so since the statement
		{strict, "MODIFY a VARCHAR(10) NOT NULL DEFAULT 'y'", false},
		{key, "MODIFY a VARCHAR(10) NULL", false}, // which it does not become
		{short, "MODIFY a VARCHAR(9)", false},
		{strict, "MODIFY a VARCHAR(9)", false},
		{short, "MODIFY a VARCHAR(20) NOT NULL", false},
		{short, "MODIFY a VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", false},
		{short, "MODIFY a VARCHAR(20) CHARSET latin1", false}, // of which collation is not told
		{short, "MODIFY a VARCHAR(20) BINARY", false},
		{other, "MODIFY a VARCHAR(20)", false},
		{short, "MODIFY a VARBINARY(20)", false},
		{short, "MODIFY a TEXT", false},
		{short, "CHANGE a b VARCHAR(20)", false},
		{short, "CHANGE b a VARCHAR(20)", false},
		{short, "MODIFY a VARCHAR(20) AS (b)", false},
		{short, "MODIFY a VARCHAR(20) UNIQUE", false},
		{short, "MODIFY a VARCHAR(20) DEFAULT (uuid())", false},
		{short, "MODIFY a VARCHAR(20) FIRST", false},
		{computed, "MODIFY a VARCHAR(20)", false},
		{enum, `MODIFY a ENUM('x','it''s')`, false},
		{enum, `MODIFY a ENUM('it''s','x','new')`, false},
		{enum, `MODIFY a ENUM('\x','it''s','new')`, false},
		{enum, `MODIFY a ENUM(_latin1'x','it''s','new')`, false},
		{short, "MODIFY a VARCHAR(20), RENAME COLUMN a TO b", false},
		{short, "MODIFY a VARCHAR(20), DEFAULT CHARSET utf8mb4", false}, // which it takes
	} {
		s := parseStatement("ALTER TABLE t "+test.alter, "db", dialect{flavor: mysqlServer})
		e := s.effects[0]
		if s.unknown != "" || e.harmless() || e.whole() {
			t.Errorf("%s: %+v", test.alter, s)
			continue
		}
		st := &stream{catalog: &catalog{tables: map[string]*table{"db.t": test.was}}, tables: map[string]*sources.Table{"db.t": test.was.sources}}
		if got := len(e.columns) == 0 && len(e.defined) == 1 && len(st.changed(test.was.sources, &e)) == 0; got != test.want {
			t.Errorf("%s of %s: it only grows: %v", test.alter, test.was.columns[0].fullType, got)
		}
	}
}
