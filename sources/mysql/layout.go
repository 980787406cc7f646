package mysql

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// errShort says that a row image ends before a value does.
var errShort = errors.New("the row image ends within a value")

// A layout says how long a column's values are in a row image: of a fixed size,
// or behind their length in so many bytes, least significant first.
type layout struct {
	wire   byte // the type, after MYSQL_TYPE_STRING's metadata has told which it really is
	meta   int  // that type's metadata
	prefix int  // bytes of the length; 0 where size is fixed
	size   int
}

// layoutOf reads a column's type and metadata as a table map event has them
// (MySQL source, libbinlogevents/include/rows_event.h, Table_map_event).
func layoutOf(wireType byte, meta uint16) (layout, error) {
	l := layout{wire: wireType, meta: int(meta)}
	if wireType == mysql.MYSQL_TYPE_STRING {
		l.wire, l.meta = realType(meta)
	}
	switch l.wire {
	case mysql.MYSQL_TYPE_TINY, mysql.MYSQL_TYPE_YEAR:
		l.size = 1
	case mysql.MYSQL_TYPE_SHORT:
		l.size = 2
	case mysql.MYSQL_TYPE_INT24, mysql.MYSQL_TYPE_DATE, mysql.MYSQL_TYPE_NEWDATE, mysql.MYSQL_TYPE_TIME:
		l.size = 3
	case mysql.MYSQL_TYPE_LONG, mysql.MYSQL_TYPE_FLOAT, mysql.MYSQL_TYPE_TIMESTAMP:
		l.size = 4
	case mysql.MYSQL_TYPE_LONGLONG, mysql.MYSQL_TYPE_DOUBLE, mysql.MYSQL_TYPE_DATETIME:
		l.size = 8
	case mysql.MYSQL_TYPE_NEWDECIMAL:
		l.size = decimalSize(int(meta>>8), int(meta&0xff))
	case mysql.MYSQL_TYPE_BIT:
		l.meta = int(meta>>8)*8 + int(meta&0xff) // bits
		l.size = (l.meta + 7) / 8
	case mysql.MYSQL_TYPE_TIMESTAMP2:
		l.size = 4 + fractionSize(l.meta)
	case mysql.MYSQL_TYPE_DATETIME2:
		l.size = 5 + fractionSize(l.meta)
	case mysql.MYSQL_TYPE_TIME2:
		l.size = 3 + fractionSize(l.meta)
	case mysql.MYSQL_TYPE_ENUM, mysql.MYSQL_TYPE_SET:
		l.size = l.meta
	case mysql.MYSQL_TYPE_STRING, mysql.MYSQL_TYPE_VARCHAR, mysql.MYSQL_TYPE_VAR_STRING:
		l.prefix = 1
		if l.meta > 255 {
			l.prefix = 2
		}
	case mysql.MYSQL_TYPE_BLOB, mysql.MYSQL_TYPE_JSON, mysql.MYSQL_TYPE_GEOMETRY, mysql.MYSQL_TYPE_VECTOR:
		l.prefix = l.meta
		if l.prefix < 1 || l.prefix > 4 {
			return l, fmt.Errorf("read table map: a length of %d bytes in a column of type %d", l.prefix, l.wire)
		}
	default:
		return l, fmt.Errorf("read table map: unknown column type %d", l.wire)
	}
	if l.prefix == 0 && (l.size < 1 || l.size > 64) {
		return l, fmt.Errorf("read table map: metadata %d of column type %d", meta, l.wire)
	}
	return l, nil
}

// realType reads MYSQL_TYPE_STRING's metadata: the real type and the pack
// length of ENUM and SET, or the length in bytes of CHAR, whose bits 8 and 9
// are inverted in bits 4 and 5 of the type (MySQL source, Field_string::do_save_field_metadata).
func realType(meta uint16) (wire byte, realMeta int) {
	high, low := byte(meta>>8), int(meta&0xff)
	switch {
	case high == 0: // before MySQL 5.0.46
		return mysql.MYSQL_TYPE_STRING, low
	case high&0x30 != 0x30:
		return high | 0x30, low | int(high&0x30^0x30)<<4
	}
	return high, low
}

// fractionSize is the number of bytes that so many digits of a second take.
func fractionSize(digits int) int {
	return (digits + 1) / 2
}

// cut says where the value at the start of data ends, behind its prefix.
func (l *layout) cut(data []byte) (end int, err error) {
	end = l.size
	if l.prefix > 0 {
		if len(data) < l.prefix {
			return 0, errShort
		}
		end = l.prefix + int(littleEndian(data[:l.prefix]))
	}
	if len(data) < end {
		return 0, errShort
	}
	return end, nil
}

// littleEndian reads an unsigned number of up to eight bytes.
func littleEndian(data []byte) (n uint64) {
	for _, b := range slices.Backward(data) {
		n = n<<8 | uint64(b)
	}
	return n
}

// bigEndian reads an unsigned number of up to eight bytes.
func bigEndian(data []byte) (n uint64) {
	for _, b := range data {
		n = n<<8 | uint64(b)
	}
	return n
}
