package postgres

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"

	"haystream/sources"
)

// PostGIS prints a geometry as extended well-known binary in hex: a byte order
// mark, a type with flags, the reference system where the flag says so, and then
// what the type is made of, coordinates as doubles (PostGIS manual, "Geometry
// Input and Output"; PostGIS source, liblwgeom.h). Geographies are the same.
const (
	ewkbHasZ    = 0x80000000
	ewkbHasM    = 0x40000000
	ewkbHasSRID = 0x20000000
	ewkbType    = 0xff

	ewkbPoint      = 1
	ewkbLine       = 2
	ewkbPolygon    = 3
	ewkbMulti      = 4 // of points, then of lines, and of polygons
	ewkbCollection = 7
	ewkbPolyhedral = 15
	ewkbTIN        = 16
	ewkbTriangle   = 17

	ewkbDepth = 32 // collections in collections
)

// isPointTypmod reports whether a geometry or geography column is declared to
// hold points: the type is in the six bits from bit 2 of the modifier
// (PostGIS source, liblwgeom.h, TYPMOD_GET_TYPE).
func isPointTypmod(typmod int32) bool {
	return typmod >= 0 && typmod>>2&0x3f == ewkbPoint
}

// isSystemTypmod reports whether a column is declared to hold geometries of one
// reference system (TYPMOD_GET_SRID).
func isSystemTypmod(typmod int32) bool { return typmod >= 0 && typmod>>8&0x1fffff != 0 }

// isFlatTypmod reports whether a column is declared to hold x and y only.
func isFlatTypmod(typmod int32) bool { return typmod&3 == 0 }

// pointConverter makes a point the canonical text of a sources.Point. With
// system its reference system need not be told from others.
func pointConverter(system bool) converter {
	return func(dst, text []byte) ([]byte, error) {
		r, dst, err := readEWKB(dst, text)
		if err != nil {
			return nil, err
		}
		start := len(dst)
		typ, x, y := r.header(), r.coordinate(), r.coordinate()
		empty := math.IsNaN(x) && math.IsNaN(y)
		if r.skip(r.dimensions - 2); r.failed || typ != ewkbPoint {
			return nil, errText("point", text)
		}
		if r.unsayable {
			dst = append(dst, "null"...)
		} else {
			dst = appendCoordinate(append(dst, `{"lat":`...), y)
			dst = append(appendCoordinate(append(dst, `,"lon":`...), x), '}')
		}
		if !system && r.system || r.unsayable && !empty {
			dst = sources.AppendMark(dst, text)
		}
		return cut(dst, start-len(text)/2, start), nil
	}
}

// geometryConverter makes any geometry GeoJSON. Measures are left out. Empty
// points, curves, and coordinates that JSON has no number for give null.
func geometryConverter(system bool) converter {
	return func(dst, text []byte) ([]byte, error) {
		r, dst, err := readEWKB(dst, text)
		if err != nil {
			return nil, err
		}
		start := len(dst)
		dst = r.appendGeometry(dst, ewkbDepth)
		switch {
		case r.unsayable:
			dst = sources.AppendMark(append(dst[:start], "null"...), text)
		case r.failed || len(r.data) > 0:
			return nil, errText("geometry", text)
		case r.measured:
			dst = sources.AppendMark(dst, text)
		case r.system && !system: // which one is in its head
			dst = sources.AppendMark(dst, text[:2*(1+4+4)])
		}
		return cut(dst, start-len(text)/2, start), nil
	}
}

// An ewkbReader reads extended well-known binary off the front of data.
type ewkbReader struct {
	data       []byte
	order      binary.ByteOrder
	dimensions int  // of a position
	measured   bool // the last of them is no coordinate
	system     bool // it names its reference system
	failed     bool
	unsayable  bool // GeoJSON has no form for it
}

// readEWKB decodes text into the tail of dst.
func readEWKB(dst, text []byte) (r ewkbReader, out []byte, err error) {
	out, err = hex.AppendDecode(dst, text)
	if err != nil {
		return r, nil, errText("geometry", text)
	}
	return ewkbReader{data: out[len(dst):], order: binary.LittleEndian}, out, nil
}

func (r *ewkbReader) take(size int) []byte {
	if r.failed || len(r.data) < size {
		r.failed = true
		return make([]byte, size)
	}
	taken := r.data[:size]
	r.data = r.data[size:]
	return taken
}

// header reads what a geometry begins with and returns its type.
func (r *ewkbReader) header() uint32 {
	r.order = binary.BigEndian
	if r.take(1)[0] == 1 {
		r.order = binary.LittleEndian
	}
	typ := r.order.Uint32(r.take(4))
	r.dimensions = 2
	if typ&ewkbHasZ != 0 {
		r.dimensions++
	}
	if typ&ewkbHasM != 0 {
		r.dimensions++
	}
	r.measured = typ&ewkbHasM != 0
	if typ&ewkbHasSRID != 0 {
		r.system = true
		r.take(4)
	}
	return typ & ewkbType
}

func (r *ewkbReader) coordinate() float64 {
	f := math.Float64frombits(r.order.Uint64(r.take(8)))
	r.unsayable = r.unsayable || math.IsNaN(f) || math.IsInf(f, 0)
	return f
}

func (r *ewkbReader) skip(coordinates int) {
	for range coordinates {
		r.take(8)
	}
}

func (r *ewkbReader) appendGeometry(dst []byte, depth int) []byte {
	typ := r.header()
	if depth == 0 {
		r.failed = true
		return dst
	}
	var name string
	switch typ {
	case ewkbPoint, ewkbLine, ewkbPolygon, ewkbMulti, ewkbMulti + 1, ewkbMulti + 2, ewkbCollection:
		name = [...]string{"Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon", "GeometryCollection"}[typ-1]
	case ewkbTriangle:
		name = "Polygon"
	case ewkbPolyhedral, ewkbTIN:
		name = "MultiPolygon"
	default: // curves
		r.unsayable = true
		return dst
	}
	dst = append(append(append(dst, `{"type":"`...), name...), '"')
	if typ == ewkbCollection {
		dst = r.appendList(append(dst, `,"geometries":`...), func(dst []byte) []byte { return r.appendGeometry(dst, depth-1) })
	} else {
		dst = r.appendCoordinates(append(dst, `,"coordinates":`...), typ)
	}
	return append(dst, '}')
}

// appendCoordinates appends what GeoJSON has as a geometry's coordinates.
func (r *ewkbReader) appendCoordinates(dst []byte, typ uint32) []byte {
	switch typ {
	case ewkbPoint:
		return r.appendPosition(dst)
	case ewkbLine:
		return r.appendList(dst, r.appendPosition)
	case ewkbPolygon, ewkbTriangle:
		return r.appendList(dst, func(dst []byte) []byte { return r.appendList(dst, r.appendPosition) })
	}
	return r.appendList(dst, func(dst []byte) []byte { // each with a header
		return r.appendCoordinates(dst, r.header())
	})
}

// appendPosition appends x, y, and z where there is one.
func (r *ewkbReader) appendPosition(dst []byte) []byte {
	said := r.dimensions
	if r.measured {
		said--
	}
	dst = append(dst, '[')
	for i := range said {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendCoordinate(dst, r.coordinate())
	}
	r.skip(r.dimensions - said)
	return append(dst, ']')
}

// appendList appends an array of as many items as the next number says.
func (r *ewkbReader) appendList(dst []byte, item func(dst []byte) []byte) []byte {
	dst = append(dst, '[')
	count := r.order.Uint32(r.take(4))
	for i := uint32(0); i < count && !r.failed && !r.unsayable; i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = item(dst)
	}
	return append(dst, ']')
}

// appendCoordinate appends the shortest digits that give the number back.
func appendCoordinate(dst []byte, f float64) []byte {
	if size := math.Abs(f); size != 0 && (size < 1e-6 || size >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}
