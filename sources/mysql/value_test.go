package mysql

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"

	"haystream/sources"
)

// sample is a column as catalog and log have it, with a value.
type sample struct {
	column catalogColumn
	wire   byte
	meta   uint16
	value  []byte
	want   string
}

func samples() []sample {
	day := binary.BigEndian.AppendUint32([]byte{0x99}, 0xb2bb7efb)
	return []sample{
		{catalogColumn{dataType: "bigint", fullType: "bigint unsigned"}, mysql.MYSQL_TYPE_LONGLONG, 0, []byte{255, 255, 255, 255, 255, 255, 255, 255}, "18446744073709551615"},
		{catalogColumn{dataType: "int", fullType: "int"}, mysql.MYSQL_TYPE_LONG, 0, []byte{0xd6, 255, 255, 255}, "-42"},
		{catalogColumn{dataType: "tinyint", fullType: "tinyint(1)"}, mysql.MYSQL_TYPE_TINY, 0, []byte{1}, "true"},
		{catalogColumn{dataType: "tinyint", fullType: "tinyint(1)"}, mysql.MYSQL_TYPE_TINY, 0, []byte{0xfe}, "-2"},
		{catalogColumn{dataType: "tinyint", fullType: "tinyint(1) unsigned"}, mysql.MYSQL_TYPE_TINY, 0, []byte{0xfe}, "254"},
		{catalogColumn{dataType: "tinyint", fullType: "tinyint(1)", numeric: true}, mysql.MYSQL_TYPE_TINY, 0, []byte{1}, "1"},
		{catalogColumn{dataType: "date", fullType: "date"}, mysql.MYSQL_TYPE_DATE, 0, []byte{0x5e, 0xca, 0x0f}, "2021-02-30"},
		{catalogColumn{dataType: "date", fullType: "date"}, mysql.MYSQL_TYPE_DATE, 0, []byte{0, 0, 0}, "0000-00-00"},
		{catalogColumn{dataType: "varchar", fullType: "varchar(200)", charset: "utf8mb4", length: 200}, mysql.MYSQL_TYPE_VARCHAR, 800, append([]byte{14, 0}, "a title of it"+"s"...), "a title of its"},
		{catalogColumn{dataType: "char", fullType: "char(10)", charset: "latin1", length: 10}, mysql.MYSQL_TYPE_STRING, 0xfe0a, []byte{2, 0xe4, 0x80}, "ä€"},
		{catalogColumn{dataType: "text", fullType: "text", charset: "utf8mb4"}, mysql.MYSQL_TYPE_BLOB, 2, append([]byte{4, 0}, "body"...), "body"},
		{catalogColumn{dataType: "decimal", fullType: "decimal(10,2)", precision: 10, scale: 2}, mysql.MYSQL_TYPE_NEWDECIMAL, 0x0a02, []byte{0x80, 0x12, 0xd6, 0x87, 0x59}, "1234567.89"},
		{catalogColumn{dataType: "double", fullType: "double"}, mysql.MYSQL_TYPE_DOUBLE, 8, []byte{0, 0, 0, 0, 0, 0, 0xf8, 0x3f}, "1.5"},
		{catalogColumn{dataType: "datetime", fullType: "datetime"}, mysql.MYSQL_TYPE_DATETIME2, 0, day, "2024-02-29T23:59:59"},
		{catalogColumn{dataType: "timestamp", fullType: "timestamp(3)", fraction: 3}, mysql.MYSQL_TYPE_TIMESTAMP2, 3, []byte{0x66, 0x08, 0xb7, 0x90, 0x09, 0xc4}, "2024-03-31T01:08:32.25Z"},
		{catalogColumn{dataType: "enum", fullType: "enum('a','b')"}, mysql.MYSQL_TYPE_STRING, 0xf701, []byte{2}, "b"},
		{catalogColumn{dataType: "set", fullType: "set('a','b','c')"}, mysql.MYSQL_TYPE_STRING, 0xf801, []byte{5}, `["a","c"]`},
		{catalogColumn{dataType: "binary", fullType: "binary(4)", length: 4}, mysql.MYSQL_TYPE_STRING, 0xfe04, []byte{1, 9}, "\x09\x00\x00\x00"},
		{catalogColumn{dataType: "json", fullType: "json"}, mysql.MYSQL_TYPE_JSON, 4, []byte{16, 0, 0, 0, 0, 1, 0, 15, 0, 11, 0, 3, 0, 5, 1, 0, 'a', 'b', 'c', 0}, `{"abc": 1}`},
		{catalogColumn{dataType: "point", fullType: "point"}, mysql.MYSQL_TYPE_GEOMETRY, 4, append([]byte{25, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0}, make([]byte, 16)...), `{"lat":0,"lon":0}`},
		// From before MySQL 5.6.
		{catalogColumn{dataType: "datetime", fullType: "datetime"}, mysql.MYSQL_TYPE_DATETIME, 0, binary.LittleEndian.AppendUint64(nil, 20240229235959), "2024-02-29T23:59:59"},
		{catalogColumn{dataType: "timestamp", fullType: "timestamp"}, mysql.MYSQL_TYPE_TIMESTAMP, 0, []byte{1, 0, 0, 0}, "1970-01-01T00:00:01Z"},
		{catalogColumn{dataType: "time", fullType: "time"}, mysql.MYSQL_TYPE_TIME, 0, []byte{0x59, 0x0a, 0x80}, "-838:59:59"},
	}
}

func (s sample) decoder(t testing.TB) decoder {
	t.Helper()
	typ, err := resolveType(mysqlServer, s.column)
	if err != nil {
		t.Fatal(err)
	}
	decode, err := typ.decoder(s.wire, s.meta)
	if err != nil {
		t.Fatal(err)
	}
	return decode
}

func TestDecode(t *testing.T) {
	for _, s := range samples() {
		decode := s.decoder(t)
		text, size, err := decode([]byte("before "), append(s.value, "after"...))
		if err != nil || string(text) != "before "+s.want || size != len(s.value) {
			t.Errorf("%s: got %q in %d bytes, %v; want %q in %d", s.column.fullType, text, size, err, s.want, len(s.value))
		}
		for end := range s.value {
			if _, _, err := decode(nil, s.value[:end]); err == nil {
				t.Errorf("%s: no error where %d of %d bytes are there", s.column.fullType, end, len(s.value))
			}
		}
		dst := make([]byte, 0, 1024)
		if n := testing.AllocsPerRun(10, func() { dst, _, _ = decode(dst[:0], s.value) }); n != 0 {
			t.Errorf("%s: %v allocations", s.column.fullType, n)
		}
	}
}

// The log's type is another one where the table has changed since.
func TestDecodeOtherType(t *testing.T) {
	all := samples()
	for _, s := range all {
		typ, err := resolveType(mysqlServer, s.column)
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range all {
			if other.column.dataType == s.column.dataType || isString(other.column.dataType) && isString(s.column.dataType) {
				continue
			}
			if _, err := typ.decoder(other.wire, other.meta); !errors.Is(err, sources.ErrSchemaChanged) {
				t.Errorf("%s from %s: got %v", s.column.fullType, other.column.fullType, err)
			}
		}
	}
	typ, err := resolveType(mysqlServer, catalogColumn{dataType: "decimal", fullType: "decimal(10,2)", precision: 10, scale: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := typ.decoder(mysql.MYSQL_TYPE_NEWDECIMAL, 0x0a03); !errors.Is(err, sources.ErrSchemaChanged) {
		t.Errorf("decimal of another scale: got %v", err)
	}
}

func isString(dataType string) bool {
	return dataType == "varchar" || dataType == "char" || dataType == "text" || dataType == "binary"
}

// A label that the catalog does not have was added since.
func TestDecodeOtherLabels(t *testing.T) {
	for _, s := range samples() {
		if s.column.dataType != "enum" && s.column.dataType != "set" {
			continue
		}
		if _, _, err := s.decoder(t)(nil, []byte{9}); !errors.Is(err, sources.ErrSchemaChanged) {
			t.Errorf("%s: got %v", s.column.fullType, err)
		}
	}
}

func TestRefusedTypes(t *testing.T) {
	for _, c := range []catalogColumn{
		{dataType: "year", fullType: "year(2)"},
		{dataType: "datetime", fullType: "datetime(3) /* mariadb-5.3 */", fraction: 3},
		{dataType: "varchar", fullType: "varchar(10) /*M!100301 COMPRESSED*/", charset: "utf8mb4"},
		{dataType: "xmltype", fullType: "xmltype"},
		{dataType: "enum", fullType: "enum('a"},
	} {
		if _, err := resolveType(mariadbServer, c); err == nil {
			t.Errorf("%s is not refused", c.fullType)
		}
	}
}

// Converting what a query gives takes no memory of its own either.
func TestConvertAllocations(t *testing.T) {
	for _, c := range []struct {
		column catalogColumn
		text   string
	}{
		{catalogColumn{dataType: "double", fullType: "double"}, "1.7976931348623157e308"},
		{catalogColumn{dataType: "float", fullType: "float"}, "0.10000000149011612"},
		{catalogColumn{dataType: "datetime", fullType: "datetime(6)", fraction: 6}, "2024-02-29 23:59:59.999999"},
		{catalogColumn{dataType: "varchar", fullType: "varchar(9)", charset: "gbk"}, "\xd6\xd0\xce\xc4"},
		{catalogColumn{dataType: "varchar", fullType: "varchar(9)", charset: "sjis"}, "\x93\xfa\x96\x7b"},
		{catalogColumn{dataType: "set", fullType: "set('a','b')"}, "a,b"},
		{catalogColumn{dataType: "polygon", fullType: "polygon"}, "\x00\x00\x00\x00\x01\x03\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"},
	} {
		typ, err := resolveType(mysqlServer, c.column)
		if err != nil {
			t.Fatal(err)
		}
		dst, text := make([]byte, 0, 1024), []byte(c.text)
		n := testing.AllocsPerRun(10, func() {
			if dst, err = typ.convert(dst[:0], text); err != nil {
				t.Error(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", c.column.fullType, n)
		}
	}
}

// FuzzDecode looks for values that make a decoder fail otherwise than by an error.
func FuzzDecode(f *testing.F) {
	all := samples()
	for i, s := range all {
		f.Add(uint8(i), s.wire, s.meta, s.value)
	}
	f.Fuzz(func(t *testing.T, i, wire uint8, meta uint16, value []byte) {
		typ, err := resolveType(mysqlServer, all[int(i)%len(all)].column)
		if err != nil {
			t.Fatal(err)
		}
		skip, skipErr := skipper(wire, meta)
		if skipErr == nil {
			if size, err := skip(value); err == nil && size > len(value) {
				t.Errorf("skips %d of %d bytes", size, len(value))
			}
		}
		decode, err := typ.decoder(wire, meta)
		if err != nil {
			return
		}
		if _, size, err := decode(nil, value); err == nil && size > len(value) {
			t.Errorf("takes %d of %d bytes", size, len(value))
		}
		_, _ = typ.convert(nil, value)
	})
}

// BenchmarkDecodeEach decodes one value of each type.
func BenchmarkDecodeEach(b *testing.B) {
	for _, s := range samples() {
		b.Run(s.column.fullType, func(b *testing.B) {
			decode := s.decoder(b)
			dst := make([]byte, 0, 1024)
			for b.Loop() {
				if _, _, err := decode(dst, s.value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecode decodes a row of eight usual columns.
func BenchmarkDecode(b *testing.B) {
	all := samples()
	row := []sample{all[0], all[1], all[2], all[3], all[5], all[6], all[8], all[9]}
	var decoders []decoder
	var image []byte
	for _, s := range row {
		decoders = append(decoders, s.decoder(b))
		image = append(image, s.value...)
	}
	dst := make([]byte, 0, 1024)
	b.SetBytes(int64(len(image)))
	b.ReportAllocs()
	for b.Loop() {
		dst = dst[:0]
		rest := image
		for _, decode := range decoders {
			var size int
			var err error
			if dst, size, err = decode(dst, rest); err != nil {
				b.Fatal(err)
			}
			rest = rest[size:]
		}
	}
}
