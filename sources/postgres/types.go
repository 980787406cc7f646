package postgres

import (
	"bytes"
	"fmt"
	"slices"

	"haystream/sources"
)

// A converter appends the canonical text (see sources.Kind) of one value that
// is given as PostgreSQL prints it under sessionSettings. It keeps no state, so
// snapshot and stream share it. A nil converter stands for "as it is".
type converter func(dst, text []byte) ([]byte, error)

// A columnType is a resolved type: what its canonical text is and how to get it.
type columnType struct {
	sources.Type
	convert converter
}

// appendJSON appends a value as JSON, for the elements of arrays, ranges and records.
func (c *columnType) appendJSON(dst, text []byte) ([]byte, error) {
	if c.convert == nil {
		dst, _ = sources.AppendJSON(dst, &c.Type, text)
		return dst, nil
	}
	start := len(dst)
	dst, err := c.convert(dst, text)
	if err != nil {
		return nil, err
	}
	end := len(dst)
	dst, _ = sources.AppendJSON(dst, &c.Type, dst[start:end])
	return cut(dst, start, end), nil
}

// cut removes dst[start:end]. Converters use dst's tail for intermediate text,
// which spares them memory of their own.
func cut(dst []byte, start, end int) []byte {
	return dst[:start+copy(dst[start:], dst[end:])]
}

// A catalogType is one row of pg_type with what belongs to it.
type catalogType struct {
	oid      uint32
	builtin  bool   // in pg_catalog
	name     string // typname
	sql      string // format_type's name for it
	class    string // typtype: b base, c composite, d domain, e enum, m multirange, r range
	category string // typcategory: A array
	elem     uint32 // element of an array, subtype of a range, range of a multirange
	base     uint32 // base type of a domain
	typmod   int32  // of the base type of a domain
	delim    byte   // between the elements of an array of this type

	fields       []string // attributes of a composite
	fieldTypes   []uint32
	fieldTypmods []int32
}

// A typeRegistry knows the types of all columns in the catalog, and the tables
// that relations belong to. It does not change after readCatalog made it, so
// it may be shared; readCatalog makes a new one.
type typeRegistry struct {
	types  map[uint32]*catalogType
	tables map[uint32]*sources.Table
	roots  map[string]uint32 // the relation of each table, by the table's name

	parts       []part       // the partitions that hold rows
	publication *publication // nil: there is none, or it was not asked for
}

// table is the table that the rows of a relation belong to: itself, or for a
// partition the root of its tree; nil for a relation that the catalog did not have.
func (r *typeRegistry) table(relation uint32) *sources.Table { return r.tables[relation] }

// lookup resolves a column's type. An unknown OID is an error: the catalog has
// changed since it was read.
func (r *typeRegistry) lookup(oid uint32, typmod int32) (sources.Type, converter, error) {
	c, err := r.resolve(oid, typmod)
	return c.Type, c.convert, err
}

func (r *typeRegistry) resolve(oid uint32, typmod int32) (columnType, error) {
	t := r.types[oid]
	if t == nil {
		return columnType{}, fmt.Errorf("look up type %d: not in the catalog as it was read", oid)
	}
	var c columnType
	var err error
	switch {
	case t.class == "d":
		c, err = r.resolve(t.base, t.typmod)
	case t.class == "c":
		c, err = r.record(t)
		c.convert = marked(c.convert)
	case t.class == "r":
		c, err = r.container(t, -1, rangeConverter)
		c.Kind = sources.Range
	case t.class == "m":
		c, err = r.container(t, -1, multirangeConverter)
	case t.name == "int2vector" || t.name == "oidvector":
		c, err = r.container(t, -1, vectorConverter)
	case t.category == "A" && t.elem != 0:
		c, err = r.container(t, typmod, arrayConverter(r.delimiter(t.elem)))
	case t.class == "e":
		c.Kind = sources.Keyword
	case t.builtin:
		c = builtinType(t.name, typmod)
	default:
		c = extensionType(t.name, typmod)
	}
	c.SQL = t.sql
	return c, err
}

func (r *typeRegistry) delimiter(elem uint32) byte {
	if t := r.types[elem]; t != nil {
		return t.delim
	}
	return ','
}

// container resolves a type that is made of one other.
func (r *typeRegistry) container(t *catalogType, typmod int32, convert func(columnType) converter) (columnType, error) {
	elem, err := r.resolve(t.elem, typmod)
	if err != nil {
		return columnType{}, fmt.Errorf("resolve %s: %w", t.sql, err)
	}
	return columnType{Type: sources.Type{Kind: sources.Array, Elem: &elem.Type}, convert: marked(convert(elem))}, nil
}

// marked marks the JSON of values that hold something which JSON has no form
// for: lower bounds of an array, NaN, infinity, empty ranges and jsonb's null
// beside NULL.
func marked(convert converter) converter {
	unseen := [][]byte{[]byte("NaN"), []byte("nfinity"), []byte("empty"), []byte(`"null"`)}
	return func(dst, text []byte) ([]byte, error) {
		dst, err := convert(dst, text)
		if err != nil || !hasBounds(text) && !slices.ContainsFunc(unseen, func(word []byte) bool { return bytes.Contains(text, word) }) {
			return dst, err
		}
		return sources.AppendMark(dst, text), nil
	}
}

func (r *typeRegistry) record(t *catalogType) (columnType, error) {
	fields := make([]recordField, len(t.fields))
	for i, name := range t.fields {
		c, err := r.resolve(t.fieldTypes[i], t.fieldTypmods[i])
		if err != nil {
			return columnType{}, fmt.Errorf("resolve %s: %w", t.sql, err)
		}
		key := append(sources.AppendJSONString(nil, []byte(name)), ':')
		fields[i] = recordField{key: key, value: c}
	}
	return columnType{Type: sources.Type{Kind: sources.JSON}, convert: recordConverter(fields)}, nil
}

// hasBounds reports whether text is an array that begins with its bounds.
func hasBounds(text []byte) bool {
	return len(text) > 0 && text[0] == '[' && text[len(text)-1] == '}'
}

// of is a columnType without parameters.
func of(kind sources.Kind, convert converter) columnType {
	return columnType{Type: sources.Type{Kind: kind}, convert: convert}
}

func sized(kind sources.Kind, size int) columnType {
	return columnType{Type: sources.Type{Kind: kind, Size: size}}
}

func unsigned(size int) columnType {
	return columnType{Type: sources.Type{Kind: sources.Int, Size: size, Unsigned: true}}
}

// builtinType is the type of that name in pg_catalog.
func builtinType(name string, typmod int32) columnType {
	switch name {
	case "bool":
		return of(sources.Bool, convertBool)
	case "int2":
		return sized(sources.Int, 2)
	case "int4":
		return sized(sources.Int, 4)
	case "int8":
		return sized(sources.Int, 8)
	case "oid", "xid", "cid":
		return unsigned(4)
	case "xid8", "oid8":
		return unsigned(8)
	case "float4":
		return sized(sources.Float, 4)
	case "float8":
		return sized(sources.Float, 8)
	case "numeric":
		return numericType(typmod)
	case "varchar":
		return sized(sources.Text, int(max(typmod-4, 0)))
	case "bpchar":
		return sized(sources.Keyword, int(max(typmod-4, 0)))
	case "bit", "varbit":
		return sized(sources.Keyword, int(max(typmod, 0)))
	case "char":
		return of(sources.Keyword, convertChar)
	case "bytea":
		return of(sources.Bytes, convertBytea)
	case "date":
		return of(sources.Date, convertDate)
	case "timestamp":
		return of(sources.Timestamp, convertTimestamp)
	case "timestamptz":
		return of(sources.TimestampTZ, convertTimestampTZ)
	case "json":
		c := of(sources.JSON, convertJSON)
		c.Lossy = true
		return c
	case "jsonb":
		return of(sources.JSON, nil)
	case "inet", "cidr":
		return of(sources.Inet, nil)
	case "point":
		return of(sources.Point, convertPoint)
	case "name", "uuid", "macaddr", "macaddr8", "money", "interval", "time", "timetz",
		"pg_lsn", "pg_snapshot", "txid_snapshot", "tid", "aclitem", "line", "lseg", "box", "circle",
		"regproc", "regprocedure", "regoper", "regoperator", "regclass", "regtype", "regrole",
		"regnamespace", "regconfig", "regdictionary", "regcollation", "regdatabase":
		return of(sources.Keyword, nil)
	}
	return of(sources.Text, nil) // text, xml, tsvector, tsquery, jsonpath, path, polygon, refcursor, …
}

// numericType reads precision and scale from the type modifier: precision in
// the upper 16 bits, scale in the lower 11 as a signed number, all plus 4
// (PostgreSQL source, utils/adt/numeric.c).
func numericType(typmod int32) columnType {
	c := of(sources.Decimal, nil)
	if typmod >= 4 {
		typmod -= 4
		c.Precision = int(typmod >> 16 & 0xffff)
		c.Scale = int((typmod&0x7ff)^1024) - 1024
	}
	return c
}

// extensionType is a base type outside pg_catalog. One that is not known here
// is text as the server prints it.
func extensionType(name string, typmod int32) columnType {
	switch name {
	case "hstore":
		return of(sources.JSON, convertHstore)
	case "geometry", "geography":
		if isPointTypmod(typmod) {
			c := of(sources.Point, pointConverter(isSystemTypmod(typmod)))
			c.Lossy = !isFlatTypmod(typmod)
			return c
		}
		return of(sources.JSON, geometryConverter(isSystemTypmod(typmod)))
	}
	return of(sources.Text, nil) // citext, ltree, …
}
