package mysql

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
)

func errValue(kind string, value []byte) error {
	return fmt.Errorf("convert %s: unexpected value of %d bytes", kind, len(value))
}

func logSigned(dst, data []byte) ([]byte, error) {
	unused := 64 - 8*len(data)
	return strconv.AppendInt(dst, int64(littleEndian(data)<<unused)>>unused, 10), nil
}

func logUnsigned(dst, data []byte) ([]byte, error) {
	return strconv.AppendUint(dst, littleEndian(data), 10), nil
}

// convertZerofill takes off the zeros that a column's display width has put in
// front. Such a number is never negative.
func convertZerofill(dst, text []byte) ([]byte, error) {
	for len(text) > 1 && text[0] == '0' && text[1] != '.' {
		text = text[1:]
	}
	return append(dst, text...), nil
}

// convertTruth reads a TINYINT(1): the canonical text of a sources.Bool.
func convertTruth(dst, text []byte) ([]byte, error) {
	switch string(text) {
	case "0":
		return append(dst, "false"...), nil
	case "1":
		return append(dst, "true"...), nil
	}
	return append(dst, text...), nil
}

// truth makes the canonical text of a sources.Bool of what log makes of a TINYINT.
func truth(log converter) converter {
	return func(dst, data []byte) ([]byte, error) {
		if data[0] <= 1 {
			return strconv.AppendBool(dst, data[0] == 1), nil
		}
		return log(dst, data)
	}
}

// convertBit reads a BIT(1).
func convertBit(dst, data []byte) ([]byte, error) {
	return strconv.AppendBool(dst, bigEndian(data) != 0), nil
}

// convertBits reads a BIT, which both queries and the log give as bytes, most
// significant first.
func convertBits(dst, value []byte) ([]byte, error) {
	if len(value) > 8 {
		return dst, errValue("bit", value)
	}
	return strconv.AppendUint(dst, bigEndian(value), 10), nil
}

func convertDouble(dst, text []byte) ([]byte, error) {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return dst, errValue("double", text)
	}
	return appendFloat(dst, f, 64), nil
}

// convertFloat reads a FLOAT that the server has widened to a DOUBLE: printed as
// it is, it would have six digits only.
func convertFloat(dst, text []byte) ([]byte, error) {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return dst, errValue("float", text)
	}
	return appendFloat(dst, float64(float32(f)), 32), nil
}

func logDouble(dst, data []byte) ([]byte, error) {
	return appendFloat(dst, math.Float64frombits(binary.LittleEndian.Uint64(data)), 64), nil
}

func logFloat(dst, data []byte) ([]byte, error) {
	return appendFloat(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(data))), 32), nil
}

// appendFloat appends the shortest digits that give the number back, without an
// exponent where there are few zeros.
func appendFloat(dst []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "NaN"...)
	}
	if size := math.Abs(f); size != 0 && (size < 1e-6 || size >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, bits)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, bits)
}
