package mysql

import "strings"

// A catalogColumn is one row of information_schema.columns, as far as the
// column's values depend on it. Both servers have these columns.
type catalogColumn struct {
	name      string // COLUMN_NAME
	dataType  string // DATA_TYPE, in small letters: bigint, varchar, enum, …
	fullType  string // COLUMN_TYPE: bigint(20) unsigned, enum('a','b''c'), …
	charset   string // CHARACTER_SET_NAME; empty where the type has none
	collation string // COLLATION_NAME; empty where the type has none
	length    int64  // CHARACTER_MAXIMUM_LENGTH in characters or bytes; 0 where the type has none
	precision int    // NUMERIC_PRECISION
	scale     int    // NUMERIC_SCALE
	fraction  int    // DATETIME_PRECISION: digits of a second

	numeric bool // a TINYINT(1) is a number
}

// compressed: MariaDB keeps the column's values compressed, in the log too.
func (c *catalogColumn) compressed() bool { return strings.Contains(c.fullType, "COMPRESSED") }

// isBlob: the log may leave its values out where binlog_row_image is NOBLOB.
func (c *catalogColumn) isBlob() bool {
	switch c.dataType {
	case "json", "point", "geometry", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geomcollection", "geometrycollection", "vector":
		return true
	}
	return strings.HasSuffix(c.dataType, "blob") || strings.HasSuffix(c.dataType, "text")
}
