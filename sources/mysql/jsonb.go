package mysql

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"strconv"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

// jsonDepth is how deep the server lets documents nest.
const jsonDepth = 100

var errJSON = errors.New("convert json: the document in the log is not as expected")

// convertJSONB appends a JSON document of the log as the server prints it
// (MySQL source, sql-common/json_binary.h, which describes the format, and
// sql-common/json_dom.cc, Json_wrapper::to_string).
func convertJSONB(dst, data []byte) ([]byte, error) {
	if len(data) == 0 { // of INSERT IGNORE, where the value was NULL
		return append(dst, "null"...), nil
	}
	return appendJSONB(dst, data[0], data[1:], jsonDepth)
}

func appendJSONB(dst []byte, kind byte, data []byte, depth int) ([]byte, error) {
	switch kind {
	case replication.JSONB_SMALL_OBJECT, replication.JSONB_LARGE_OBJECT, replication.JSONB_SMALL_ARRAY, replication.JSONB_LARGE_ARRAY:
		if depth == 0 {
			return dst, errJSON
		}
		c, err := readContainer(kind, data)
		if err != nil {
			return dst, err
		}
		return c.append(dst, depth-1)
	case replication.JSONB_STRING:
		text, err := readVariable(data)
		if err != nil {
			return dst, err
		}
		return appendMySQLString(dst, text), nil
	case replication.JSONB_OPAQUE:
		if len(data) == 0 {
			return dst, errJSON
		}
		value, err := readVariable(data[1:])
		if err != nil {
			return dst, err
		}
		return appendOpaque(dst, data[0], value)
	}
	return appendScalar(dst, kind, data)
}

// appendScalar appends a literal or a number.
func appendScalar(dst []byte, kind byte, data []byte) ([]byte, error) {
	size := scalarSize(kind)
	if size == 0 || len(data) < size {
		return dst, errJSON
	}
	data = data[:size]
	switch kind {
	case replication.JSONB_LITERAL:
		switch data[0] {
		case replication.JSONB_NULL_LITERAL:
			return append(dst, "null"...), nil
		case replication.JSONB_TRUE_LITERAL:
			return append(dst, "true"...), nil
		case replication.JSONB_FALSE_LITERAL:
			return append(dst, "false"...), nil
		}
		return dst, errJSON
	case replication.JSONB_INT16, replication.JSONB_INT32, replication.JSONB_INT64:
		return logSigned(dst, data)
	case replication.JSONB_DOUBLE:
		return appendMySQLDouble(dst, math.Float64frombits(binary.LittleEndian.Uint64(data))), nil
	}
	return logUnsigned(dst, data)
}

func scalarSize(kind byte) int {
	switch kind {
	case replication.JSONB_LITERAL:
		return 1
	case replication.JSONB_INT16, replication.JSONB_UINT16:
		return 2
	case replication.JSONB_INT32, replication.JSONB_UINT32:
		return 4
	case replication.JSONB_INT64, replication.JSONB_UINT64, replication.JSONB_DOUBLE:
		return 8
	}
	return 0
}

// A jsonContainer is an object or an array. Its header has the number of
// members, its size, then for an object where each key is and how long, then
// for each value its type and where it is, or the value itself where it fits.
type jsonContainer struct {
	data   []byte
	object bool
	width  int // bytes of a number in the header: 4 where large, else 2
	count  int
	values int // where the entries of the values begin
	header int // its size
}

func readContainer(kind byte, data []byte) (c jsonContainer, err error) {
	c.data, c.width = data, 2
	if kind == replication.JSONB_LARGE_OBJECT || kind == replication.JSONB_LARGE_ARRAY {
		c.width = 4
	}
	c.object = kind == replication.JSONB_SMALL_OBJECT || kind == replication.JSONB_LARGE_OBJECT
	if len(data) < 2*c.width {
		return c, errJSON
	}
	c.count = c.number(0)
	size := c.number(c.width)
	c.values = 2 * c.width
	if c.object {
		c.values += c.count * (c.width + 2)
	}
	c.header = c.values + c.count*(c.width+1)
	if size < c.header || len(data) < size {
		return c, errJSON
	}
	c.data = data[:size]
	return c, nil
}

func (c *jsonContainer) number(at int) int {
	return int(littleEndian(c.data[at : at+c.width]))
}

func (c *jsonContainer) append(dst []byte, depth int) (_ []byte, err error) {
	open, end := byte('['), byte(']')
	if c.object {
		open, end = '{', '}'
	}
	dst = append(dst, open)
	for i := range c.count {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		if c.object {
			key, err := c.key(i)
			if err != nil {
				return dst, err
			}
			dst = append(appendMySQLString(dst, key), ": "...)
		}
		if dst, err = c.appendValue(dst, i, depth); err != nil {
			return dst, err
		}
	}
	return append(dst, end), nil
}

func (c *jsonContainer) key(i int) ([]byte, error) {
	entry := 2*c.width + i*(c.width+2)
	start := c.number(entry)
	end := start + int(littleEndian(c.data[entry+c.width:entry+c.width+2]))
	if start < c.header || end > len(c.data) {
		return nil, errJSON
	}
	return c.data[start:end], nil
}

func (c *jsonContainer) appendValue(dst []byte, i, depth int) ([]byte, error) {
	entry := c.values + i*(c.width+1)
	kind := c.data[entry]
	if size := scalarSize(kind); size > 0 && size <= c.width {
		return appendScalar(dst, kind, c.data[entry+1:entry+1+c.width])
	}
	at := c.number(entry + 1)
	if at < c.header || at > len(c.data) {
		return dst, errJSON
	}
	return appendJSONB(dst, kind, c.data[at:], depth)
}

// readVariable returns what is behind its length, which has seven bits in each
// byte but the last one's highest.
func readVariable(data []byte) ([]byte, error) {
	length, n := binary.Uvarint(data[:min(len(data), 5)])
	if n <= 0 || length > uint64(len(data)-n) {
		return nil, errJSON
	}
	return data[n : n+int(length)], nil
}

// base64Line is how many bytes the server puts into a line of base64.
const base64Line = 57

// appendOpaque appends a value of an SQL type that JSON does not have.
func appendOpaque(dst []byte, wire byte, value []byte) ([]byte, error) {
	switch wire {
	case mysql.MYSQL_TYPE_NEWDECIMAL:
		if len(value) < 2 {
			return dst, errJSON
		}
		return appendDecimal(dst, value[2:], int(value[0]), int(value[1]))
	case mysql.MYSQL_TYPE_DATE, mysql.MYSQL_TYPE_DATETIME, mysql.MYSQL_TYPE_TIMESTAMP, mysql.MYSQL_TYPE_TIME:
		if len(value) < 8 {
			return dst, errJSON
		}
		dst = appendPackedTime(append(dst, '"'), wire, int64(binary.LittleEndian.Uint64(value)))
		return append(dst, '"'), nil
	}
	dst = strconv.AppendUint(append(dst, `"base64:type`...), uint64(wire), 10)
	dst = append(dst, ':')
	for len(value) > base64Line {
		dst = append(base64.StdEncoding.AppendEncode(dst, value[:base64Line]), `\n`...)
		value = value[base64Line:]
	}
	return append(base64.StdEncoding.AppendEncode(dst, value), '"'), nil
}

// appendPackedTime appends a temporal value inside of a document, where it has
// six digits of a second (MySQL source, mysys/my_time.cc, TIME_from_longlong_packed).
func appendPackedTime(dst []byte, wire byte, packed int64) []byte {
	negative := packed < 0
	if negative {
		packed = -packed
	}
	n, micros := int(packed>>24), packed&(1<<24-1)
	if wire == mysql.MYSQL_TYPE_TIME {
		return appendTime(dst, negative, n>>12&0x3ff, n>>6&63, n&63, micros, 6, 6)
	}
	months := n >> 22
	dst = appendDay(dst, months/13, months%13, n>>17&31)
	if wire == mysql.MYSQL_TYPE_DATE {
		return dst
	}
	dst = appendClock(append(dst, ' '), n>>12&31, n>>6&63, n&63)
	return appendPadded(append(dst, '.'), uint64(micros), 6)
}

const hexDigits = "0123456789abcdef"

// appendMySQLString appends a JSON string with the server's escapes.
func appendMySQLString(dst, text []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i, c := range text {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(dst, text[start:]...), '"')
}

// appendMySQLDouble appends a number as the server prints one inside of a
// document: the shortest digits, with an exponent where the decimal point is
// further than 15 digits off, and .0 where nothing else tells it from an
// integer (MySQL source, strings/dtoa.cc, my_gcvt).
func appendMySQLDouble(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	const furthest = 15
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	at := len(dst) - 1
	for dst[at] != 'e' {
		at--
	}
	exponent, err := strconv.Atoi(string(dst[at+1:]))
	if err != nil {
		return append(dst[:start], "null"...)
	}
	if point := exponent + 1; point > furthest || point <= -furthest {
		return strconv.AppendInt(dst[:at+1], int64(exponent), 10)
	}
	dst = strconv.AppendFloat(dst[:start], f, 'f', -1, 64)
	if bytes.IndexByte(dst[start:], '.') >= 0 {
		return dst
	}
	return append(dst, ".0"...)
}
