package mysql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"haystream/sources"
)

var errLabels = errors.New("its labels cannot be read")

// parseLabels reads the labels of enum('a','b”c'), as the catalog prints them:
// with doubled quotes, and with a backslash before what it escapes.
func parseLabels(fullType string) (labels [][]byte, err error) {
	_, text, ok := strings.Cut(fullType, "(")
	for ok {
		var label []byte
		if label, text, err = parseLabel(text); err != nil {
			return nil, err
		}
		labels = append(labels, label)
		text, ok = strings.CutPrefix(text, ",")
	}
	if len(labels) == 0 || text == "" || text[0] != ')' {
		return nil, errLabels
	}
	return labels, nil
}

func parseLabel(text string) (label []byte, rest string, err error) {
	text, ok := strings.CutPrefix(text, "'")
	if !ok {
		return nil, "", errLabels
	}
	label = []byte{}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			i++
			c = unescape(text[i])
		case strings.HasPrefix(text[i:], "''"):
			i++
		case c == '\'':
			return label, text[i+1:], nil
		}
		label = append(label, c)
	}
	return nil, "", errLabels
}

// unescape is the character that stands behind a backslash as c.
func unescape(c byte) byte {
	switch c {
	case '0':
		return 0
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	}
	return c
}

// convertNumbered reads an enum or set whose number a query has given.
func convertNumbered(log converter) converter {
	return func(dst, text []byte) ([]byte, error) {
		n, err := strconv.ParseUint(string(text), 10, 64)
		if err != nil {
			return dst, errValue("number of a label", text)
		}
		return log(dst, binary.LittleEndian.AppendUint64(nil, n))
	}
}

// enumConverter reads a label's number, from 1; 0 is what was none of the
// labels. It has the empty text, or zero bytes where that is a label.
func enumConverter(labels [][]byte) converter {
	none := []byte{}
	for slices.ContainsFunc(labels, func(label []byte) bool { return bytes.Equal(label, none) }) {
		none = append(none, 0)
	}
	return func(dst, data []byte) ([]byte, error) {
		n := littleEndian(data)
		if n > uint64(len(labels)) {
			return dst, fmt.Errorf("convert enum: there is no label %d: %w", n, sources.ErrSchemaChanged)
		}
		if n == 0 {
			return append(dst, none...), nil
		}
		return append(dst, labels[n-1]...), nil
	}
}

// setConverter reads one bit for each label.
func setConverter(labels [][]byte) converter {
	texts := make([][]byte, len(labels))
	for i, label := range labels {
		texts[i] = sources.AppendJSONString(nil, label)
	}
	return func(dst, data []byte) ([]byte, error) {
		set := littleEndian(data)
		if bits.Len64(set) > len(texts) {
			return dst, fmt.Errorf("convert set: there is no label %d: %w", bits.Len64(set), sources.ErrSchemaChanged)
		}
		dst = append(dst, '[')
		first, unseen := true, []byte(nil)
		for ; set != 0; set &= set - 1 {
			i := bits.TrailingZeros64(set)
			if first && len(labels[i]) == 0 {
				unseen = labels[i]
				continue // a query shows nothing for an empty label at the start, not even a comma
			}
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(dst, texts[i]...)
		}
		if dst = append(dst, ']'); unseen != nil {
			dst = sources.AppendMark(dst, unseen)
		}
		return dst, nil
	}
}

// convertSet reads labels with commas between them; no label has one.
func convertSet(dst, text []byte) ([]byte, error) {
	dst = append(dst, '[')
	for more := len(text) > 0; more; {
		var label []byte
		label, text, more = bytes.Cut(text, []byte{','})
		dst = sources.AppendJSONString(dst, label)
		if more {
			dst = append(dst, ',')
		}
	}
	return append(dst, ']'), nil
}
