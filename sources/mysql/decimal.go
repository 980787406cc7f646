package mysql

import (
	"encoding/binary"
	"fmt"
)

// A DECIMAL is stored in groups of nine digits of four bytes each, most
// significant first. The digits that are left over, before the first whole
// group and behind the last one, take fewer bytes. The highest bit is set, and
// all bits of a negative number are inverted (MySQL source, strings/decimal.cc, decimal2bin).

const (
	groupDigits = 9
	groupBytes  = 4
)

// leftoverBytes is how many bytes so many digits take, fewer than groupDigits.
func leftoverBytes(digits int) int { return (digits + 1) / 2 }

func decimalSize(precision, scale int) int {
	whole := precision - scale
	if scale < 0 || whole < 0 {
		return 0
	}
	return whole/groupDigits*groupBytes + leftoverBytes(whole%groupDigits) +
		scale/groupDigits*groupBytes + leftoverBytes(scale%groupDigits)
}

// decimalConverter reads the values of a DECIMAL(precision, scale).
func decimalConverter(precision, scale int) converter {
	return func(dst, data []byte) ([]byte, error) {
		return appendDecimal(dst, data, precision, scale)
	}
}

func appendDecimal(dst, data []byte, precision, scale int) ([]byte, error) {
	if size := decimalSize(precision, scale); size == 0 || size > 64 || len(data) < size {
		return dst, fmt.Errorf("convert decimal(%d,%d): unexpected value of %d bytes", precision, scale, len(data))
	}
	r := decimalReader{data: data, first: 0x80}
	if data[0]&0x80 == 0 {
		r.mask = 0xff
	}
	start := len(dst)
	dst = append(dst, '-')
	whole := precision - scale
	dst = r.append(dst, whole%groupDigits)
	for range whole / groupDigits {
		dst = r.append(dst, groupDigits)
	}
	dst = trimZeros(dst, start+1)
	if scale > 0 {
		dst = append(dst, '.')
		for range scale / groupDigits {
			dst = r.append(dst, groupDigits)
		}
		dst = r.append(dst, scale%groupDigits)
	}
	if r.mask == 0 || !r.nonzero {
		dst = append(dst[:start], dst[start+1:]...)
	}
	return dst, nil
}

// decimalReader reads groups of digits off the front of data.
type decimalReader struct {
	data    []byte
	mask    byte // inverts the bits of a negative number
	first   byte // inverts the sign bit, in the first byte only
	nonzero bool // a digit was not 0
}

// append appends the next group of so many digits.
func (r *decimalReader) append(dst []byte, digits int) []byte {
	size := leftoverBytes(digits)
	if digits == groupDigits {
		size = groupBytes
	}
	if size == 0 {
		return dst
	}
	var group [groupBytes]byte
	for i, b := range r.data[:size] {
		group[groupBytes-size+i] = b ^ r.mask
	}
	group[groupBytes-size] ^= r.first
	r.first = 0
	r.data = r.data[size:]
	n := binary.BigEndian.Uint32(group[:])
	r.nonzero = r.nonzero || n != 0
	return appendPadded(dst, uint64(n), digits)
}

// appendPadded appends n with so many digits, zeros first.
func appendPadded(dst []byte, n uint64, digits int) []byte {
	const zeros = "00000000000000000000"
	start := len(dst)
	dst = append(dst, zeros[:digits]...)
	for i := len(dst) - 1; i >= start && n > 0; i-- {
		dst[i] = '0' + byte(n%10)
		n /= 10
	}
	return dst
}

// trimZeros removes zeros in front of the digits that start there, and adds one
// where there would be none left.
func trimZeros(dst []byte, start int) []byte {
	zeros := start
	for zeros < len(dst) && dst[zeros] == '0' {
		zeros++
	}
	if zeros == len(dst) {
		return append(dst[:start], '0')
	}
	return append(dst[:start], dst[zeros:]...)
}
