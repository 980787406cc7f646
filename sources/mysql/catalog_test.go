package mysql

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"haystream/sources"
)

// describe is a table in words: its key and columns.
func describe(t *table) string {
	var words []string
	for i := range t.sources.Columns {
		column := &t.sources.Columns[i]
		word := column.Name + " " + t.columns[i].dataType
		if column.NotNull {
			word += " not null"
		}
		switch {
		case column.NotLogged:
			word += " unlogged"
		case column.Generated:
			word += " generated"
		case column.MayBeMissing:
			word += " partial"
		}
		words = append(words, word)
	}
	return "(" + strings.Join(t.sources.Names(t.sources.Key), ", ") + ") " + strings.Join(words, ", ")
}

func TestCatalog(t *testing.T) {
	eachServer(t, func(b *box) {
		b.schema("shapes")
		generated := " generated"
		if b.admin.flavor.omitsGenerated(b.admin.version) {
			generated = " unlogged"
		}
		tests := []struct{ create, name, want string }{
			{"CREATE TABLE plain (id INT PRIMARY KEY, body TEXT)", "plain", "(id) id int not null, body text"},
			{"CREATE TABLE pair (b INT, a INT, PRIMARY KEY (a, b))", "pair", "(a, b) b int not null, a int not null"},
			{"CREATE TABLE `Odd ``one` (`a.b` INT PRIMARY KEY)", "Odd `one", "(a.b) a.b int not null"},
			{"CREATE TABLE keyless (id INT)", "keyless", "() id int"},
			{"CREATE TABLE uniques (a INT NOT NULL, b INT NOT NULL, c INT, UNIQUE one (c), UNIQUE two (b, a), UNIQUE zzz (b))", "uniques", "(b) a int not null, b int not null, c int"},
			{"CREATE TABLE prefixed (t VARCHAR(100) NOT NULL, UNIQUE (t(10)))", "prefixed", "() t varchar not null"},
			{
				"CREATE TABLE computed (id INT PRIMARY KEY, v INT AS (id * 2) VIRTUAL, s INT AS (id * 3) STORED, c TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)", "computed",
				"(id) id int not null, v int" + generated + ", s int" + generated + ", c timestamp not null",
			},
			{"CREATE TABLE hidden (id INT PRIMARY KEY, h INT INVISIBLE, t INT)", "hidden", "(id) id int not null, h int, t int"},
			{"CREATE TABLE documents (id INT PRIMARY KEY, `a``b` JSON)", "documents", "(id) id int not null, a`b json"},
			{"CREATE TABLE parts (id INT PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 3", "parts", "(id) id int not null"},
			{"CREATE VIEW looks AS SELECT * FROM plain", "looks", ""},
			{"CREATE TEMPORARY TABLE passing (id INT PRIMARY KEY)", "passing", ""},
		}
		if b.isMaria() {
			tests = append(tests, []struct{ create, name, want string }{
				{"CREATE SEQUENCE numbers", "numbers", ""},
				{"CREATE TABLE hashed (b BLOB NOT NULL, UNIQUE (b))", "hashed", "() b blob not null"},
				{"CREATE TABLE versions (id INT PRIMARY KEY) WITH SYSTEM VERSIONING", "versions", "(id) id int not null"},
			}...)
		} else {
			tests = append(tests, []struct{ create, name, want string }{
				{"CREATE TABLE functional (id INT NOT NULL, t VARCHAR(10) NOT NULL, UNIQUE f ((UPPER(t))))", "functional", "() id int not null, t varchar not null"},
				{"CREATE TABLE made (t INT)", "made", "(my_row_id) my_row_id bigint not null, t int"},
			}...)
		}
		b.exec("USE shapes")
		for _, test := range tests {
			if test.name == "made" {
				b.exec("SET SESSION sql_generate_invisible_primary_key = ON")
			}
			b.exec(test.create)
		}
		b.exec("INSERT INTO plain VALUES (1, 'x'), (2, 'y')", "ANALYZE TABLE plain")
		b.user("reader", "IDENTIFIED BY 'x'")
		b.exec("GRANT SELECT ON shapes.* TO reader")
		source := b.source(b.with("reader:x", "", ""))
		tables, err := source.Catalog(b.Context())
		b.must(err)
		for _, test := range tests {
			found := source.catalog.table("shapes", test.name)
			switch {
			case found == nil && test.want != "":
				b.Errorf("%s is not there", test.name)
			case found != nil && describe(found) != test.want:
				b.Errorf("%s is\n%s, want\n%s", test.name, describe(found), test.want)
			case found != nil && (found.sources.Identity != sources.IdentityFull || found.sources.WholeRows != "" || found.partial || found.versioned != (test.name == "versions")):
				b.Errorf("%s is %+v, %+v", test.name, found, found.sources)
			}
		}
		for i, t := range tables {
			if t.Schema != "shapes" || i > 0 && t.Name <= tables[i-1].Name {
				b.Errorf("table %d is %s", i, t)
			}
		}
		if rows := source.catalog.table("shapes", "plain").sources.EstimatedRows; rows < 0 || rows > 2 {
			b.Errorf("the estimate is %d", rows)
		}
	})
}

// TestForeignKeys are seen by a user who may do no more than read.
func TestForeignKeys(t *testing.T) {
	eachServer(t, func(b *box) {
		b.schema("here")
		b.schema("there")
		b.exec("CREATE TABLE there.person (id INT PRIMARY KEY, a INT, b VARCHAR(20), UNIQUE (b, a))",
			"CREATE TABLE here.note (id INT PRIMARY KEY, user_id INT, x VARCHAR(20), y INT, parent INT,"+
				" CONSTRAINT `0w` FOREIGN KEY (user_id) REFERENCES there.person (id) ON DELETE CASCADE ON UPDATE SET NULL,"+
				" CONSTRAINT `2` FOREIGN KEY (x, y) REFERENCES there.person (b, a), CONSTRAINT `a``b` FOREIGN KEY (parent) REFERENCES here.note (id) ON DELETE RESTRICT)")
		b.set("sql_quote_show_create", "0")
		b.user("reader", "IDENTIFIED BY 'x'")
		b.exec("GRANT SELECT ON here.* TO reader", "GRANT SELECT ON there.* TO reader")
		want := fmt.Sprintf("[{0w [user_id] there person [id] CASCADE SET NULL %v} {2 [x y] there person [b a] RESTRICT RESTRICT false} {a`b [parent] here note [id] RESTRICT RESTRICT false}]", !b.logsCascades())
		for _, user := range []string{"", "reader:x"} {
			source := b.source(b.with(user, "", ""))
			_, err := source.Catalog(b.Context())
			b.must(err)
			if got := fmt.Sprint(source.catalog.table("here", "note").sources.ForeignKeys); got != want {
				b.Errorf("%q sees\n%s, want\n%s", user, got, want)
			}
		}
	})
}

// TestCatalogOfPartialImages: what a row image may leave out.
func TestCatalogOfPartialImages(t *testing.T) {
	eachServer(t, func(b *box) {
		b.schema("images")
		b.exec("CREATE TABLE images.t (id INT PRIMARY KEY, n INT, body TEXT)", "CREATE TABLE images.keyless (id INT)")
		statement := "SET PERSIST binlog_row_image = FULL"
		if b.isMaria() {
			statement = "SET GLOBAL binlog_row_image = FULL"
		}
		images := map[string]string{
			"MINIMAL": "(id) id int not null, n int partial, body text partial",
			"NOBLOB":  "(id) id int not null, n int, body text partial",
			"FULL":    "(id) id int not null, n int, body text",
		}
		if b.isMaria() && !older(b.admin.version, 11, 4) {
			images["FULL_NODUP"] = images["FULL"]
		}
		for image, want := range images {
			b.set("binlog_row_image", image)
			c, _, err := readCatalog(b.Context(), b.admin)
			b.must(err)
			t := c.table("images", "t")
			if got := describe(t); got != want {
				b.Errorf("%s: the table is %s, want %s", image, got, want)
			}
			wholeRows := statement
			if strings.HasPrefix(image, "FULL") {
				wholeRows = ""
			}
			if got := fmt.Sprint(t.sources.WholeRows, t.sources.Identity == sources.IdentityFull); got != fmt.Sprint(wholeRows, wholeRows == "") {
				b.Errorf("%s: whole rows take %s", image, got)
			}
			if c.table("images", "keyless").sources.Identity != sources.IdentityFull {
				b.Errorf("%s: without a key the log has whole rows", image)
			}
		}
	})
}

// TestIdentity: with partial images the log has the old values of the key that
// the server takes, which need not be the one that rows are known by.
func TestIdentity(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.set("binlog_row_image", "MINIMAL")
		tables := map[string]string{
			"first":  "(a INT NOT NULL, b INT NOT NULL, c INT NOT NULL, n INT, UNIQUE two (b, a), UNIQUE one (c))",
			"second": "(a INT NOT NULL, b INT NOT NULL, c INT NOT NULL, n INT, UNIQUE one (c), UNIQUE two (b, a))",
			"nulls":  "(a INT, b INT NOT NULL, c INT NOT NULL, n INT, UNIQUE x (a), UNIQUE y (b, c))",
			"none":   "(a INT, b INT NOT NULL, c INT NOT NULL, n INT, UNIQUE x (a))",
			"prefix": "(a VARCHAR(20), b INT NOT NULL, c INT NOT NULL, n INT, PRIMARY KEY (a(3)), UNIQUE x (b))",
			"head":   "(a VARCHAR(20) NOT NULL, b INT NOT NULL, c INT NOT NULL, n INT, UNIQUE x (a(3)), UNIQUE z (c), UNIQUE y (b))",
		}
		for _, name := range slices.Sorted(maps.Keys(tables)) {
			r.exec("CREATE TABLE "+name+tables[name], "INSERT INTO "+name+" VALUES (1, 2, 3, 4)")
			r.exec("SET GLOBAL binlog_row_image = MINIMAL")
			r.project(name)
			r.exec("SET GLOBAL binlog_row_image = FULL")
			table := r.tables[0]
			start, err := r.source.Prepare(r.Context(), r.tables, "")
			r.must(err)
			tail := r.stream(sources.Checkpoint{Position: start.Position})
			r.on(r.session(), "SET SESSION binlog_row_image = MINIMAL", "DELETE FROM "+name)
			tail.catchUp()
			want := make([]string, len(table.Columns))
			for i, value := range []string{"1", "2", "3", "4"} {
				if want[i] = "MISSING"; table.Identity == sources.IdentityFull || slices.Contains(table.IdentityColumns, i) {
					want[i] = value
				}
			}
			r.same(tail.before, []string{"(" + strings.Join(want, ",") + ")"})
			tail.stop()
		}
	})
}

// TestCatalogOfSomeColumns: a user who may see only some columns cannot tell
// their places in the log.
func TestCatalogOfSomeColumns(t *testing.T) {
	eachServer(t, func(b *box) {
		b.schema("somewhat")
		b.user("half", "IDENTIFIED BY 'x'")
		b.exec("CREATE TABLE somewhat.t (id INT PRIMARY KEY, secret INT, body TEXT)", "GRANT SELECT (id, body) ON somewhat.t TO half")
		source := b.source(b.with("half:x", "", ""))
		_, err := source.Catalog(b.Context())
		b.must(err)
		if t := source.catalog.table("somewhat", "t"); len(t.columns) != 2 || !t.partial {
			b.Errorf("the table is %+v", t)
		}
	})
}

// TestViews finds the tables behind views, through other views and by aliases.
func TestViews(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE notes (id INT PRIMARY KEY)", "CREATE TABLE `odd``name` (id INT PRIMARY KEY)",
			"CREATE VIEW flat AS SELECT id FROM notes", "CREATE VIEW joined AS SELECT f.id AS a, notes.id AS b FROM flat f JOIN `odd``name` notes ON f.id = notes.id")
		want := "views.flat is a view over views.notes; name that: its condition becomes where, its joins become relations\nviews.joined is a view over views.notes, views.odd`name; name one of these: its condition becomes where, its joins become relations"
		if r.isMaria() {
			r.exec("CREATE SEQUENCE numbers")
			want += "\nviews.numbers is a sequence and has no rows; name a table"
		}
		_, err := r.source.Catalog(r.Context())
		r.must(err)
		views, err := r.source.Views(r.Context())
		r.must(err)
		var got []string
		for i := range views {
			if v := &views[i]; v.Schema == r.name {
				got = append(got, v.Refusal())
			}
		}
		if text := strings.Join(got, "\n"); text != want {
			r.Errorf("the views are\n%s\nwant\n%s", text, want)
		}
	})
}

// TestLimitsForPeople: what keeps people's queries short cuts nothing off here.
func TestLimitsForPeople(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE b (id INT PRIMARY KEY)")
		r.set("sql_select_limit", "1")
		r.set("max_join_size", "1")
		source := r.newSource()
		tables, err := source.Catalog(r.Context())
		r.must(err)
		found := 0
		for _, t := range tables {
			if t.Schema == r.name {
				found++
			}
		}
		if found != 3 {
			r.Errorf("found %d tables of 3", found)
		}
	})
}

func TestInfo(t *testing.T) {
	eachServer(t, func(b *box) {
		b.schema("information")
		source := b.source(b.with("", "information", ""))
		info, err := source.Info(b.Context())
		b.must(err)
		want := sources.Info{Kind: b.Scheme, Version: b.ask("SELECT VERSION()"), Identity: "gtid", Address: b.Host + "/information"}
		if info != want {
			b.Errorf("it is %+v, want %+v", info, want)
		}
		if b.isMaria() {
			return
		}
		b.set("gtid_mode", "ON_PERMISSIVE")
		info, err = source.Info(b.Context())
		if want := b.ask("SELECT @@server_uuid"); err != nil || info.Identity != want {
			b.Errorf("without GTIDs it is %q, want %q, %v", info.Identity, want, err)
		}
	})
}

// TestCatalogNames: where letter case of names does not matter, the log and
// the catalog may differ in it.
func TestCatalogNames(t *testing.T) {
	for _, fold := range []bool{false, true} {
		c := &catalog{tables: map[string]*table{}, fold: fold}
		c.tables[c.catalogName("Blog", "Notes")] = &table{}
		if found := c.table("blog", "NOTES") != nil; found != fold || c.table("Blog", "Notes") == nil {
			t.Errorf("fold %v: found %v", fold, found)
		}
	}
}
