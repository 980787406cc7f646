package mysql

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"

	"github.com/go-mysql-org/go-mysql/mysql"

	"haystream/sources"
)

// A geometry is four bytes of its reference system and the geometry as
// well-known binary, for queries and in the log alike. Its coordinates are x
// and y; geographic ones are longitude and latitude, whatever order the
// reference system has (MySQL manual, "Internal Geometry Storage Format").

const sridBytes = 4

// The numbers of well-known binary, and what GeoJSON calls them.
const (
	wkbPoint      = 1
	wkbLineString = 2
	wkbPolygon    = 3
	wkbMultiPoint = 4
	wkbCollection = 7
)

const geometryDepth = 32 // collections in collections

func spatialType(c catalogColumn) columnType {
	kind, convert := sources.JSON, convertGeometry
	if c.dataType == "point" {
		kind, convert = sources.Point, convertPoint
	}
	return columnType{
		Type:  sources.Type{Kind: kind},
		text:  convert,
		forms: []logForm{{mysql.MYSQL_TYPE_GEOMETRY, anyMeta, convert}},
	}
}

// convertPoint appends the canonical text of a sources.Point.
func convertPoint(dst, value []byte) ([]byte, error) {
	r := newWKB(value)
	if r.header() != wkbPoint {
		return dst, errValue("point", value)
	}
	x, y := r.float(), r.float()
	if r.failed {
		return dst, errValue("point", value)
	}
	if math.IsNaN(x+y) || math.IsInf(x, 0) || math.IsInf(y, 0) {
		return sources.AppendMark(append(dst, "null"...), hex.AppendEncode(nil, value)), nil
	}
	dst = appendFloat(append(dst, `{"lat":`...), y, 64)
	dst = appendFloat(append(dst, `,"lon":`...), x, 64)
	return appendSRID(append(dst, '}'), value), nil
}

// convertGeometry appends a geometry as GeoJSON.
func convertGeometry(dst, value []byte) ([]byte, error) {
	r := newWKB(value)
	out := r.appendGeometry(dst, geometryDepth)
	if r.failed {
		return dst, errValue("geometry", value)
	}
	return appendSRID(out, value), nil
}

// appendSRID marks a geometry of a reference system: GeoJSON does not say which.
func appendSRID(dst, value []byte) []byte {
	if srid := littleEndian(value[:sridBytes]); srid != 0 {
		return sources.AppendMark(dst, strconv.AppendUint(nil, srid, 10))
	}
	return dst
}

// wkbReader reads well-known binary off the front of data.
type wkbReader struct {
	data   []byte
	order  binary.ByteOrder
	failed bool
}

func newWKB(value []byte) wkbReader {
	return wkbReader{data: value[min(len(value), sridBytes):], order: binary.LittleEndian}
}

func (r *wkbReader) take(size int) []byte {
	if r.failed || len(r.data) < size {
		r.failed = true
		return make([]byte, size)
	}
	taken := r.data[:size]
	r.data = r.data[size:]
	return taken
}

// header reads the byte order and returns the geometry's type.
func (r *wkbReader) header() uint32 {
	r.order = binary.LittleEndian
	if r.take(1)[0] == 0 {
		r.order = binary.BigEndian
	}
	return r.order.Uint32(r.take(4))
}

func (r *wkbReader) float() float64 { return math.Float64frombits(r.order.Uint64(r.take(8))) }

func (r *wkbReader) appendGeometry(dst []byte, depth int) []byte {
	kind := r.header()
	if depth == 0 || kind < wkbPoint || kind > wkbCollection {
		r.failed = true
		return dst
	}
	names := [...]string{"Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon", "GeometryCollection"}
	dst = append(append(append(dst, `{"type":"`...), names[kind-1]...), '"')
	if kind == wkbCollection {
		dst = r.appendList(append(dst, `,"geometries":`...), func(dst []byte) []byte { return r.appendGeometry(dst, depth-1) })
	} else {
		dst = r.appendCoordinates(append(dst, `,"coordinates":`...), kind)
	}
	return append(dst, '}')
}

// appendCoordinates appends what GeoJSON has as a geometry's coordinates.
func (r *wkbReader) appendCoordinates(dst []byte, kind uint32) []byte {
	switch kind {
	case wkbPoint:
		return r.appendPosition(dst)
	case wkbLineString:
		return r.appendList(dst, r.appendPosition)
	case wkbPolygon:
		return r.appendList(dst, func(dst []byte) []byte { return r.appendList(dst, r.appendPosition) })
	}
	return r.appendList(dst, func(dst []byte) []byte { // of points, lines or polygons, each with a header
		if r.header() != kind-wkbMultiPoint+wkbPoint {
			r.failed = true
			return dst
		}
		return r.appendCoordinates(dst, kind-wkbMultiPoint+wkbPoint)
	})
}

func (r *wkbReader) appendPosition(dst []byte) []byte {
	x, y := r.float(), r.float()
	dst = appendFloat(append(dst, '['), x, 64)
	return append(appendFloat(append(dst, ','), y, 64), ']')
}

// appendList appends an array of as many items as the next number says.
func (r *wkbReader) appendList(dst []byte, item func(dst []byte) []byte) []byte {
	dst = append(dst, '[')
	count := r.order.Uint32(r.take(4))
	for i := uint32(0); i < count && !r.failed; i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = item(dst)
	}
	return append(dst, ']')
}

// vectorType reads single-precision numbers, least significant byte first, for
// queries and in the log alike.
func vectorType() columnType {
	return columnType{
		Type: sources.Type{Kind: sources.Array, Elem: &sources.Type{Kind: sources.Float, Size: 4, SQL: "float"}},
		text: convertVector,
		forms: []logForm{
			{mysql.MYSQL_TYPE_VECTOR, anyMeta, convertVector},  // MySQL
			{mysql.MYSQL_TYPE_VARCHAR, anyMeta, convertVector}, // MariaDB
		},
	}
}

func convertVector(dst, value []byte) ([]byte, error) {
	if len(value)%4 != 0 {
		return dst, errValue("vector", value)
	}
	dst = append(dst, '[')
	for i := 0; i < len(value); i += 4 {
		if i > 0 {
			dst = append(dst, ',')
		}
		f := math.Float32frombits(binary.LittleEndian.Uint32(value[i:]))
		if f != f || math.IsInf(float64(f), 0) {
			dst = append(dst, "null"...)
			continue
		}
		dst = appendFloat(dst, float64(f), 32)
	}
	return append(dst, ']'), nil
}
