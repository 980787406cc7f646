package rowstore

import (
	"encoding/binary"
	"strconv"
)

// A number is written as 0.DDDD… × 100^E, each D being two decimal digits. A tag
// carries sign and E where E is small; digits follow as 2·D+1, the last as 2·D,
// which ends them. A negative number's bytes are those of the positive one,
// complemented, so that bytes sort as numbers do.
const (
	tagMinusInfinity = 0x40
	tagZero          = 0x8f
	tagPositive      = 0x91 // + E, for E from 0 to maxTagged
	tagFraction      = tagPositive - 1
	tagLarge         = tagPositive + maxTagged + 1
	maxTagged        = 47
	tagInfinity      = 0xd0
	tagNaN           = 0xd1
)

// appendNumber appends a number's canonical form; ok is false where text is none.
func appendNumber(dst, text []byte) (out []byte, ok bool) {
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		text = text[1:]
	}
	switch string(text) {
	case "NaN":
		return append(dst, tagNaN), true
	case "Infinity":
		if negative {
			return append(dst, tagMinusInfinity), true
		}
		return append(dst, tagInfinity), true
	}
	n, ok := parseNumber(text)
	if !ok {
		return dst, false
	}
	if n.digits == 0 {
		return append(dst, tagZero), true
	}
	start := len(dst)
	dst = n.append(dst)
	if negative {
		dst[start] = tagZero - (dst[start] - tagZero)
		for i := start + 1; i < len(dst); i++ {
			dst[i] = ^dst[i]
		}
	}
	return dst, true
}

// number is a positive number's digits without zeros on either side, as they
// stand in a text that may have a point among them.
type number struct {
	text   []byte // from the first digit that counts to the last
	digits int    // how many there are in text
	point  int    // the decimal point's place, in digits from the first: 0.text × 10^point
}

func parseNumber(text []byte) (number, bool) {
	var n number
	first, last := -1, -1 // places of digits that are not 0
	before, after, pointed := 0, 0, false
	end := len(text)
	for i, c := range text {
		switch {
		case c == 'e' || c == 'E':
			exponent, err := strconv.Atoi(string(text[i+1:]))
			if err != nil || exponent > 1<<24 || exponent < -1<<24 {
				return n, false
			}
			n.point, end = exponent, i
		case c == '.' && !pointed:
			pointed = true
		case c < '0' || c > '9':
			return n, false
		default:
			if first < 0 && c != '0' {
				first = i
			}
			if c != '0' {
				last = i
			}
			switch {
			case pointed && first < 0:
				before-- // a zero between the point and the first digit
			case !pointed && first >= 0:
				before++
			}
			after++
		}
		if end < len(text) {
			break
		}
	}
	if after == 0 {
		return n, false
	}
	if first < 0 {
		return number{}, true
	}
	n.point += before
	n.text = text[first : last+1]
	for _, c := range n.text {
		if c != '.' {
			n.digits++
		}
	}
	return n, true
}

func (n number) append(dst []byte) []byte {
	pairs := (n.point + 1) >> 1 // E, rounded up
	switch {
	case pairs < 0:
		dst = binary.BigEndian.AppendUint32(append(dst, tagFraction), uint32(pairs+1<<30))
	case pairs <= maxTagged:
		dst = append(dst, byte(tagPositive+pairs))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, tagLarge), uint32(pairs))
	}
	half := n.point&1 != 0 // the first pair holds one digit only
	pair := byte(0)
	for _, c := range n.text {
		if c == '.' {
			continue
		}
		if pair = pair*10 + c - '0'; half {
			dst = append(dst, pair<<1|1)
			pair = 0
		}
		half = !half
	}
	if half {
		return append(dst, pair*10<<1)
	}
	dst[len(dst)-1] &^= 1
	return dst
}
