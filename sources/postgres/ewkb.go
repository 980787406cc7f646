package postgres

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
)

// PostGIS prints a geometry as extended well-known binary in hex: a byte order
// mark, a type with flags, the reference system where the flag says so, and
// for a point its coordinates as doubles (PostGIS manual, "Geometry Input and Output").
const (
	ewkbPoint   = 1
	ewkbHasSRID = 0x20000000
	ewkbType    = 0xff
)

// isPointTypmod reports whether a geometry or geography column is declared to
// hold points: the type is in the six bits from bit 2 of the modifier
// (PostGIS source, liblwgeom.h, TYPMOD_GET_TYPE).
func isPointTypmod(typmod int32) bool {
	return typmod >= 0 && typmod>>2&0x3f == ewkbPoint
}

func convertEWKB(dst, text []byte) ([]byte, error) {
	start := len(dst)
	dst, err := hex.AppendDecode(dst, text)
	if err != nil || len(dst) < start+1+4 {
		return nil, errText("geometry", text)
	}
	wkb := dst[start:]
	var order binary.ByteOrder = binary.BigEndian
	if wkb[0] == 1 {
		order = binary.LittleEndian
	}
	typ := order.Uint32(wkb[1:])
	coordinates := wkb[5:]
	if typ&ewkbHasSRID != 0 && len(coordinates) >= 4 {
		coordinates = coordinates[4:]
	}
	if typ&ewkbType != ewkbPoint || len(coordinates) < 16 {
		return nil, errText("geometry", text)
	}
	x := math.Float64frombits(order.Uint64(coordinates))
	y := math.Float64frombits(order.Uint64(coordinates[8:]))
	dst = dst[:start]
	if math.IsNaN(x+y) || math.IsInf(x, 0) || math.IsInf(y, 0) { // an empty point has NaN
		return append(dst, "null"...), nil
	}
	dst = strconv.AppendFloat(append(dst, `{"lat":`...), y, 'g', -1, 64)
	dst = strconv.AppendFloat(append(dst, `,"lon":`...), x, 'g', -1, 64)
	return append(dst, '}'), nil
}
