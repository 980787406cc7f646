package mysql

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"

	"haystream/sources"
)

// A converter appends the canonical text (see sources.Kind) of one value. It
// keeps no state, so goroutines may share it. A nil converter stands for "as it is".
type converter func(dst, value []byte) ([]byte, error)

// A columnType is a column's type: what its canonical text is, and how to get
// it from a query's answer and from the log. Both ways give the same bytes.
type columnType struct {
	sources.Type

	// function is what a query selects instead of the column, with %s for its
	// quoted name; empty where it selects the column itself.
	function string

	// text reads what a query gives under the session's settings: UTC, utf8mb4.
	text converter

	// forms are what the log may have for the column.
	forms []logForm
}

// A logForm is a type that values may have in the log.
type logForm struct {
	wire    byte
	meta    int // anyMeta, or the metadata that the log must have
	convert converter
}

// anyMeta is for types whose metadata does not change what a value means.
const anyMeta = -1

// expression is what a query selects for the column of that quoted name.
func (t *columnType) expression(quoted string) string {
	if t.function == "" {
		return quoted
	}
	return fmt.Sprintf(t.function, quoted)
}

// convert appends the canonical text of a value that a query has given for the
// column's expression.
func (t *columnType) convert(dst, text []byte) ([]byte, error) {
	if t.text == nil {
		return append(dst, text...), nil
	}
	return t.text(dst, text)
}

// form returns the form that the log has the column's values in. Where that is not of
// the catalog's type, the error is sources.ErrSchemaChanged: the log is older or newer
// than the catalog.
func (t *columnType) form(l layout) (logForm, error) {
	for _, form := range t.forms {
		if form.wire == l.wire && (form.meta == anyMeta || form.meta == l.meta) {
			return form, nil
		}
	}
	return logForm{}, fmt.Errorf("decode %s: the log has column type %d (%d): %w", t.SQL, l.wire, l.meta, sources.ErrSchemaChanged)
}

// resolveType tells how to read a column. The error says why its type cannot be read.
func resolveType(f flavor, c catalogColumn) (columnType, error) {
	t, err := resolve(f, c)
	t.SQL = c.fullType
	if err != nil {
		return t, fmt.Errorf("resolve type %s: %w", c.fullType, err)
	}
	if strings.HasSuffix(c.fullType, " COMPRESSED*/") { // MariaDB
		return t, fmt.Errorf("resolve type %s: a compressed column keeps its whole table from being read from the log; alter it to one without COMPRESSED", c.fullType)
	}
	return t, nil
}

func resolve(f flavor, c catalogColumn) (columnType, error) {
	switch c.dataType {
	case "tinyint":
		t := intType(c, 1, mysql.MYSQL_TYPE_TINY)
		if strings.HasPrefix(c.fullType, "tinyint(1)") && !c.numeric {
			t.Type, t.text = sources.Type{Kind: sources.Bool}, convertTruth
			t.forms[0].convert = truth(t.forms[0].convert)
		}
		return t, nil
	case "smallint":
		return intType(c, 2, mysql.MYSQL_TYPE_SHORT), nil
	case "mediumint":
		return intType(c, 3, mysql.MYSQL_TYPE_INT24), nil
	case "int":
		return intType(c, 4, mysql.MYSQL_TYPE_LONG), nil
	case "bigint":
		return intType(c, 8, mysql.MYSQL_TYPE_LONGLONG), nil
	case "decimal":
		return decimalType(c), nil
	case "float":
		return floatType(4, convertFloat, logForm{mysql.MYSQL_TYPE_FLOAT, anyMeta, logFloat}), nil
	case "double":
		return floatType(8, convertDouble, logForm{mysql.MYSQL_TYPE_DOUBLE, anyMeta, logDouble}), nil
	case "bit":
		return bitType(c), nil
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext":
		return stringType(c)
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		return bytesType(c), nil
	case "enum", "set":
		return labelType(c)
	case "date", "time", "datetime", "timestamp", "year":
		return temporalType(c)
	case "json":
		if f == mysqlServer {
			return columnType{
				Type:  sources.Type{Kind: sources.JSON},
				forms: []logForm{{mysql.MYSQL_TYPE_JSON, anyMeta, convertJSONB}},
			}, nil
		}
		return jsonTextType(c)
	case "point", "geometry", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geomcollection", "geometrycollection":
		return spatialType(c), nil
	case "vector":
		return vectorType(), nil
	case "inet4":
		return addressType(4), nil
	case "inet6":
		return addressType(16), nil
	case "uuid":
		return uuidType(), nil
	}
	return columnType{}, errors.New("the column type is not known")
}

func intType(c catalogColumn, size int, wire byte) columnType {
	t := columnType{Type: sources.Type{Kind: sources.Int, Size: size}}
	if strings.Contains(c.fullType, "zerofill") {
		t.text = convertZerofill
	}
	t.forms = []logForm{{wire, anyMeta, logSigned}}
	if strings.Contains(c.fullType, "unsigned") {
		t.Unsigned = true
		t.forms[0].convert = logUnsigned
	}
	return t
}

func decimalType(c catalogColumn) columnType {
	t := columnType{
		Type:  sources.Type{Kind: sources.Decimal, Precision: c.precision, Scale: c.scale, Unsigned: strings.Contains(c.fullType, "unsigned")},
		forms: []logForm{{mysql.MYSQL_TYPE_NEWDECIMAL, c.precision<<8 | c.scale, decimalConverter(c.precision, c.scale)}},
	}
	if strings.Contains(c.fullType, "zerofill") {
		t.text = convertZerofill
	}
	return t
}

// floatType has the server compute with the value, which makes it print all of
// the value's digits, whatever the column's display width is.
func floatType(size int, text converter, form logForm) columnType {
	return columnType{
		Type:     sources.Type{Kind: sources.Float, Size: size},
		function: "%s*1e0",
		text:     text,
		forms:    []logForm{form},
	}
}

func bitType(c catalogColumn) columnType {
	if c.precision == 1 {
		return columnType{
			Type:  sources.Type{Kind: sources.Bool},
			text:  convertBit,
			forms: []logForm{{mysql.MYSQL_TYPE_BIT, 1, convertBit}},
		}
	}
	return columnType{
		Type:  sources.Type{Kind: sources.Int, Size: 8, Unsigned: true},
		text:  convertBits,
		forms: []logForm{{mysql.MYSQL_TYPE_BIT, c.precision, convertBits}},
	}
}

// stringForms are what the log may have for text and bytes of any length.
func stringForms(convert converter) []logForm {
	return []logForm{
		{mysql.MYSQL_TYPE_VARCHAR, anyMeta, convert},
		{mysql.MYSQL_TYPE_VAR_STRING, anyMeta, convert},
		{mysql.MYSQL_TYPE_STRING, anyMeta, convert},
		{mysql.MYSQL_TYPE_BLOB, anyMeta, convert},
	}
}

// rawFunction makes the server give text without converting it to utf8mb4.
const rawFunction = "CONVERT(%s USING binary)"

// stringType reads text in the column's own character set, in queries too, so
// that there is one conversion for both.
func stringType(c catalogColumn) (columnType, error) {
	decode, err := charsetConverter(c.charset)
	if err != nil {
		return columnType{}, err
	}
	t := columnType{Type: sources.Type{Kind: sources.Text}, text: decode, forms: stringForms(decode)}
	if decode != nil {
		t.function = rawFunction
	}
	switch c.dataType {
	case "char":
		t.Kind, t.Size = sources.Keyword, int(c.length)
	case "varchar":
		t.Size = int(c.length)
	}
	return t, nil
}

func bytesType(c catalogColumn) columnType {
	t := columnType{Type: sources.Type{Kind: sources.Bytes}, forms: stringForms(nil)}
	switch c.dataType {
	case "binary":
		t.Size = int(c.length)
		t.forms = []logForm{fixedForm(t.Size, nil)}
	case "varbinary":
		t.Size = int(c.length)
	}
	return t
}

// fixedForm is for values of a fixed size, which the log has without the zeros
// at their end.
func fixedForm(size int, convert converter) logForm {
	zeros := make([]byte, size)
	return logForm{mysql.MYSQL_TYPE_STRING, size, func(dst, data []byte) ([]byte, error) {
		if len(data) > size {
			return dst, errValue("bytes", data)
		}
		if convert == nil {
			return append(append(dst, data...), zeros[len(data):]...), nil
		}
		var whole [16]byte
		copy(whole[:], data)
		return convert(dst, whole[:size])
	}}
}

// labelType reads enums and sets. Where one of the labels is empty, a query asks
// for the value's number, since its text would be that of no label.
func labelType(c catalogColumn) (t columnType, err error) {
	labels, err := parseLabels(c.fullType)
	if err != nil {
		return columnType{}, err
	}
	if slices.ContainsFunc(labels, func(label []byte) bool { return len(label) == 0 }) {
		defer func() { t.function, t.text = "%s+0", convertNumbered(t.forms[0].convert) }()
	}
	if c.dataType == "enum" {
		size := 1
		if len(labels) > 255 {
			size = 2
		}
		return columnType{
			Type:  sources.Type{Kind: sources.Keyword},
			forms: []logForm{{mysql.MYSQL_TYPE_ENUM, size, enumConverter(labels)}},
		}, nil
	}
	size := (len(labels) + 7) / 8
	if size > 4 {
		size = 8
	}
	return columnType{
		Type:  sources.Type{Kind: sources.Array, Elem: &sources.Type{Kind: sources.Keyword, SQL: "varchar"}},
		text:  convertSet,
		forms: []logForm{{mysql.MYSQL_TYPE_SET, size, setConverter(labels)}},
	}, nil
}

func temporalType(c catalogColumn) (columnType, error) {
	if strings.Contains(c.fullType, "mariadb-5.3") && c.fraction > 0 {
		return columnType{}, errors.New("fractions of a second in MariaDB's old format cannot be read from the log; ALTER TABLE … FORCE under mysql56_temporal_format=ON renews the format")
	}
	if strings.HasPrefix(c.fullType, "year(2)") {
		return columnType{}, errors.New("years of two digits have no century; make the column YEAR")
	}
	switch c.dataType {
	case "date":
		return columnType{
			Type: sources.Type{Kind: sources.Date},
			text: convertDate,
			forms: []logForm{
				{mysql.MYSQL_TYPE_DATE, anyMeta, logDate},
				{mysql.MYSQL_TYPE_NEWDATE, anyMeta, logDate},
			},
		}, nil
	case "time":
		return columnType{
			Type: sources.Type{Kind: sources.Keyword},
			forms: []logForm{
				{mysql.MYSQL_TYPE_TIME2, c.fraction, time2Converter(c.fraction)},
				{mysql.MYSQL_TYPE_TIME, anyMeta, logTime},
			},
		}, nil
	case "datetime":
		return columnType{
			Type: sources.Type{Kind: sources.Timestamp},
			text: convertDatetime,
			forms: []logForm{
				{mysql.MYSQL_TYPE_DATETIME2, c.fraction, logDatetime2},
				{mysql.MYSQL_TYPE_DATETIME, anyMeta, logDatetime},
			},
		}, nil
	case "timestamp":
		return columnType{
			Type: sources.Type{Kind: sources.TimestampTZ},
			text: convertTimestamp,
			forms: []logForm{
				{mysql.MYSQL_TYPE_TIMESTAMP2, c.fraction, logTimestamp2},
				{mysql.MYSQL_TYPE_TIMESTAMP, anyMeta, logTimestamp},
			},
		}, nil
	}
	return columnType{
		Type:  sources.Type{Kind: sources.Int, Size: 2, Unsigned: true},
		text:  convertZerofill, // the year 0 is 0000
		forms: []logForm{{mysql.MYSQL_TYPE_YEAR, anyMeta, logYear}},
	}, nil
}
