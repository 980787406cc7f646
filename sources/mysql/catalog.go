package mysql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"haystream/sources"
)

// userSchemas leaves the servers' own schemas out.
const userSchemas = "TABLE_SCHEMA NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')"

// tablesQuery lists tables, but no view, sequence or temporary table.
const tablesQuery = `
SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS, TABLE_COLLATION
FROM information_schema.TABLES
WHERE ` + userSchemas + ` AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')`

// columnsQuery lists columns, invisible ones too, in the order that the log has them.
const columnsQuery = `
SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME,
       CHARACTER_MAXIMUM_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION,
       ORDINAL_POSITION, IS_NULLABLE, EXTRA, COLUMN_DEFAULT, GENERATION_EXPRESSION
FROM information_schema.COLUMNS
WHERE ` + userSchemas + `
ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION`

// keysQuery lists the parts of unique keys. A part without a name is an expression.
const keysQuery = `
SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART IS NOT NULL, INDEX_TYPE
FROM information_schema.STATISTICS
WHERE ` + userSchemas + ` AND NON_UNIQUE = 0
ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX`

// jsonQuery lists the constraints that MariaDB gives to a column that was
// declared as JSON, which it keeps as LONGTEXT.
const jsonQuery = "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE CHECK_CLAUSE LIKE 'json\\_valid(`%`)'"

// A catalog is what one readCatalog found.
type catalog struct {
	tables map[string]*table // by catalogName
	fold   bool              // letter case of names does not matter

	actedOn        map[string][]tableName // the tables that foreign keys change where rows of one go or change, by its catalogName
	cascadesLogged bool                   // the server carries out foreign keys itself, and logs what they do

	flavor   flavor
	charsets map[uint64]string // by the number that the log has for a collation
}

// A table is one of the catalog, with what the log does not say.
type table struct {
	sources   *sources.Table
	columns   []column // as a row image has them
	identity  []int    // indexes of the columns that every old image has; empty: all of them, or not known
	engine    string
	collation string               // of columns to come
	partial   bool                 // the user may not see all columns, so that their places in a row image are not known
	acts      bool                 // foreign keys change other tables where its rows go or change
	unseen    []sources.ForeignKey // to tables that the user may not see

	// MariaDB: rows of the past are in the log as rows of their own.
	versioned  bool
	end        int  // the column of the row's end; -1: none that the catalog has
	unnamedEnd bool // the images have it all the same
	hashes     int  // how many hashes of unique keys they have
}

// blackhole is the engine that keeps nothing. Its inserts are in the log like those of a
// transactional one: a rollback takes them out, also to a savepoint.
const blackhole = "BLACKHOLE"

// A column with all that its values depend on.
type column struct {
	catalogColumn
	columnType
	refused error // why its values cannot be read; nil where they can
	unset   unset
	always  bool // it has a value of its own in each INSERT
	counted bool // AUTO_INCREMENT
}

// catalogName is the key of a table in a catalog.
func (c *catalog) catalogName(schema, name string) string {
	if c.fold {
		return strings.ToLower(schema + "." + name)
	}
	return schema + "." + name
}

// table finds a table by its names in the log; nil where there is none.
func (c *catalog) table(schema, name string) *table { return c.tables[c.catalogName(schema, name)] }

// readCatalog reads all tables outside the servers' own schemas, ordered by
// name, with few queries however many tables there are. It may be repeated.
func readCatalog(ctx context.Context, conn *conn) (*catalog, []*sources.Table, error) {
	row, err := conn.one(ctx, "SELECT @@GLOBAL.binlog_row_image, @@GLOBAL.lower_case_table_names")
	if err != nil {
		return nil, nil, fmt.Errorf("read settings: %w", err)
	}
	image := row[0]
	c := &catalog{tables: map[string]*table{}, fold: row[1] != "0", flavor: conn.flavor, charsets: map[uint64]string{}}
	var ordered []*sources.Table
	err = conn.query(ctx, tablesQuery, func(row [][]byte) error {
		t := &sources.Table{Schema: string(row[0]), Name: string(row[1]), EstimatedRows: -1, LogOnly: string(row[3]) == blackhole}
		if rows, err := strconv.ParseInt(string(row[4]), 10, 64); err == nil {
			t.EstimatedRows = rows
		}
		c.tables[c.catalogName(t.Schema, t.Name)] = &table{sources: t, engine: string(row[3]), collation: string(row[5]), versioned: string(row[2]) == "SYSTEM VERSIONED", end: -1}
		ordered = append(ordered, t)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read tables: %w", err)
	}
	if err := c.readCharsets(ctx, conn); err != nil {
		return nil, nil, fmt.Errorf("read character sets: %w", err)
	}
	json, err := readJSON(ctx, conn)
	if err != nil {
		return nil, nil, fmt.Errorf("read constraints: %w", err)
	}
	if err := c.readColumns(ctx, conn, json); err != nil {
		return nil, nil, fmt.Errorf("read columns: %w", err)
	}
	if err := c.readKeys(ctx, conn, !isFull(image)); err != nil {
		return nil, nil, fmt.Errorf("read keys: %w", err)
	}
	if err := c.readForeignKeys(ctx, conn); err != nil {
		return nil, nil, fmt.Errorf("read foreign keys: %w", err)
	}
	for _, t := range c.tables {
		t.unnamedEnd = t.versioned && t.end < 0
		t.setIdentity(conn.flavor, image)
	}
	ordered = slices.DeleteFunc(ordered, func(t *sources.Table) bool { return len(t.Columns) == 0 }) // dropped since
	slices.SortFunc(ordered, func(a, b *sources.Table) int {
		return cmp.Or(strings.Compare(a.Schema, b.Schema), strings.Compare(a.Name, b.Name))
	})
	return c, ordered, nil
}

func (c *catalog) readCharsets(ctx context.Context, conn *conn) error {
	return conn.query(ctx, "SELECT ID, CHARACTER_SET_NAME FROM information_schema."+conn.flavor.collations(conn.version), func(row [][]byte) error {
		c.charsets[uint64(number(row[0]))] = string(row[1])
		return nil
	})
}

// readJSON returns the columns that were declared as JSON, as schema, table and column.
func readJSON(ctx context.Context, conn *conn) (map[[3]string]bool, error) {
	json := map[[3]string]bool{}
	if conn.flavor != mariadbServer {
		return json, nil
	}
	err := conn.query(ctx, jsonQuery, func(row [][]byte) error {
		name := strings.TrimSuffix(strings.TrimPrefix(string(row[2]), "json_valid(`"), "`)")
		json[[3]string{string(row[0]), string(row[1]), strings.ReplaceAll(name, "``", "`")}] = true
		return nil
	})
	return json, err
}

func (c *catalog) readColumns(ctx context.Context, conn *conn, json map[[3]string]bool) error {
	return conn.query(ctx, columnsQuery, func(row [][]byte) error {
		schema, name := string(row[0]), string(row[1])
		t := c.table(schema, name)
		if t == nil {
			return nil // a view, or created since
		}
		col := column{catalogColumn: catalogColumn{
			name: string(row[2]), dataType: strings.ToLower(string(row[3])), fullType: string(row[4]),
			charset: string(row[5]), collation: string(row[6]), length: number(row[7]),
			precision: int(number(row[8])), scale: int(number(row[9])), fraction: int(number(row[10])),
			numeric: conn.numeric,
		}}
		if json[[3]string{schema, name, col.name}] {
			col.dataType = "json"
		}
		col.columnType, col.refused = resolveType(conn.flavor, col.catalogColumn)
		t.partial = t.partial || int(number(row[11])) != len(t.columns)+1
		notNull, extra := string(row[12]) == "NO", string(row[13])
		expression := string(row[15])
		period := expression == "ROW START" || expression == "ROW END"
		if expression == "ROW END" {
			t.end = len(t.columns)
		}
		generated := !period && (strings.Contains(extra, "VIRTUAL GENERATED") || strings.Contains(extra, "STORED GENERATED"))
		col.counted = strings.Contains(extra, "auto_increment")
		col.always = row[14] == nil || col.counted
		col.unset = unsetOf(conn.flavor, &col, row[14], notNull, extra)
		t.columns = append(t.columns, col)
		t.sources.Columns = append(t.sources.Columns, sources.Column{
			Name: col.name, Type: col.Type, NotNull: notNull, Collation: col.collation,
			Generated: generated, NotLogged: generated && conn.flavor.omitsGenerated(conn.version),
		})
		return nil
	})
}

// number reads a number; NULL is 0.
func number(text []byte) int64 {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil && errors.Is(err, strconv.ErrRange) {
		return 1<<63 - 1 // LONGTEXT's length is 1<<32-1; nothing comes near
	}
	return n
}

// A key is a unique one.
type key struct {
	name   string
	parts  []int // indexes of columns; -1 is an expression
	usable bool
	whole  bool // no part may be NULL or is only the beginning of a value
}

// readKeys gives each table its key: the primary one, else the one with the
// fewest columns of those that cannot hold NULL. Where images are partial, it
// also finds out which one the server takes.
func (c *catalog) readKeys(ctx context.Context, conn *conn, partial bool) error {
	keys := map[*table][]key{}
	err := conn.query(ctx, keysQuery, func(row [][]byte) error {
		t := c.table(string(row[0]), string(row[1]))
		if t == nil {
			return nil
		}
		found := keys[t]
		if name := string(row[2]); len(found) == 0 || found[len(found)-1].name != name {
			found = append(found, key{name: name, usable: true, whole: true})
		}
		k := &found[len(found)-1]
		at := t.sources.Column(string(row[3]))
		if at >= 0 && at == t.end {
			return nil // the same for all rows that are there now
		}
		// A hash cannot be read in order. Only a MEMORY table has it in its primary key.
		hash := string(row[5]) == "HASH" && k.name != primaryKey
		if hash && len(k.parts) == 0 && t.engine != "MEMORY" {
			t.hashes++
		}
		k.parts = append(k.parts, at)
		k.whole = k.whole && at >= 0 && t.sources.Columns[at].NotNull && string(row[4]) == "0"
		k.usable = k.usable && k.whole && !hash
		keys[t] = found
		return nil
	})
	if err != nil {
		return err
	}
	for t, found := range keys {
		if t.identity, err = rowIdentity(ctx, conn, t.sources, found, partial); err != nil {
			return fmt.Errorf("read keys of %s: %w", t.sources, err)
		}
		found = slices.DeleteFunc(found, func(k key) bool { return !k.usable })
		slices.SortFunc(found, func(a, b key) int {
			return cmp.Or(isPrimary(a)-isPrimary(b), len(a.parts)-len(b.parts), strings.Compare(a.name, b.name))
		})
		if len(found) > 0 {
			t.sources.Key = found[0].parts
		}
	}
	return nil
}

// rowIdentity is the key that the server takes a row's identity from: the primary
// one, else the first in its own order that cannot hold NULL (MySQL source,
// sql/table.cc, prepare_share). Where there are several, the server is asked.
func rowIdentity(ctx context.Context, conn *conn, t *sources.Table, found []key, ask bool) ([]int, error) {
	var candidates []key
	for _, k := range found {
		if k.name == primaryKey {
			return k.parts, nil
		}
		if k.whole {
			candidates = append(candidates, k)
		}
	}
	switch {
	case len(candidates) == 0:
		return nil, nil
	case len(candidates) == 1:
		return candidates[0].parts, nil
	case !ask:
		return nil, nil
	}
	var first []int
	err := conn.query(ctx, "SHOW KEYS FROM "+quoteTable(t), func(row [][]byte) error {
		if at := slices.IndexFunc(candidates, func(k key) bool { return k.name == string(row[2]) }); first == nil && at >= 0 {
			first = candidates[at].parts
		}
		return nil
	})
	return first, err
}

const primaryKey = "PRIMARY"

func isPrimary(k key) int {
	if k.name == primaryKey {
		return 0
	}
	return 1
}

// setIdentity sets what the log carries of a changed row.
func (t *table) setIdentity(f flavor, image string) {
	s := t.sources
	if isFull(image) {
		s.Identity = sources.IdentityFull
		return
	}
	s.WholeRows = f.set("binlog_row_image", "FULL")
	if s.Identity, s.IdentityColumns = sources.IdentityKey, t.identity; len(t.identity) == 0 {
		s.Identity = sources.IdentityFull // the server's own rule for tables without one
		return
	}
	for i := range s.Columns {
		s.Columns[i].MayBeMissing = !slices.Contains(t.identity, i) && (image != "NOBLOB" || t.columns[i].isBlob())
	}
}

// isFull reports whether each change has whole rows. With FULL_NODUP
// (MariaDB 11.4) what the new image leaves out is in the old one.
func isFull(image string) bool { return image == "FULL" || image == "FULL_NODUP" }
