package mysql

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"haystream/sources"
)

// literals are the values that rows must have one of, or of several columns the
// conditions, without those that a column cannot hold.
func (q *chunkQuery) literals(values *sources.Values) ([]string, error) {
	given := make([]func(string) (string, bool), len(values.Columns))
	for n, i := range values.Columns {
		if given[n] = q.columns[i].givenAs(); given[n] == nil {
			return nil, fmt.Errorf("%w: rows cannot be asked for by column %s of type %s", sources.ErrUnreadable, q.columns[i].name, q.columns[i].SQL)
		}
	}
	all := make([]string, 0, len(values.Of))
next:
	for _, value := range values.Of {
		if len(value) != len(values.Columns) {
			return nil, fmt.Errorf("a value to read by has %d columns, not %d", len(value), len(values.Columns))
		}
		parts := make([]string, len(value))
		for n, i := range values.Columns {
			text, ok := given[n](value[n])
			if !ok {
				continue next
			}
			parts[n] = newKeyColumn(q.columns[i]).literal(text)
			if len(parts) > 1 {
				parts[n] = quote(q.columns[i].name) + " = " + parts[n]
			}
		}
		all = append(all, strings.Join(parts, " AND "))
	}
	return all, nil
}

// hasOne is the condition that a row has one of the values. MySQL takes a second
// to plan a list of a thousand rows.
func (q *chunkQuery) hasOne(literals []string) string {
	if len(literals) == 0 {
		return "FALSE"
	}
	if len(q.Having.Columns) == 1 {
		return quote(q.columns[q.Having.Columns[0]].name) + " IN (" + strings.Join(literals, ", ") + ")"
	}
	return "(" + strings.Join(literals, " OR ") + ")"
}

// dropForeign drops values with characters that a column's character set does
// not have: the server refuses to compare with them.
func (q *chunkQuery) dropForeign(ctx context.Context, c *conn) (err error) {
	if q.Having == nil || !slices.ContainsFunc(q.Having.Columns, func(i int) bool {
		charset := q.columns[i].charset
		return charset != "" && charset != "utf8mb4"
	}) {
		return nil
	}
	q.having, err = q.comparable(ctx, c, q.having)
	return err
}

// comparable halves the values until those are found that cannot be compared with.
func (q *chunkQuery) comparable(ctx context.Context, c *conn, literals []string) ([]string, error) {
	err := c.exec(ctx, "SELECT 1 FROM "+quoteTable(q.Table)+" WHERE "+q.hasOne(literals)+" LIMIT 0")
	switch serverCode(err) {
	case codeMixedCollations, codeMixedCollations3, codeMixedCollationsN, codeUnconvertible:
	default:
		return literals, err
	}
	half := len(literals) / 2
	if half == 0 {
		return nil, nil
	}
	low, err := q.comparable(ctx, c, literals[:half])
	if err != nil {
		return nil, err
	}
	high, err := q.comparable(ctx, c, literals[half:])
	return append(low[:len(low):len(low)], high...), err
}

// givenAs turns a canonical text into what the server gives for the value as a
// key (see keyColumn); false where the column cannot hold it. It is nil for types
// that are no keys.
func (c *column) givenAs() func(text string) (string, bool) {
	switch c.dataType {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "year", "bit":
		return c.integerOf
	case "decimal":
		return c.decimalOf
	case "float", "double":
		return c.floatOf
	case "enum":
		return c.enumOf()
	case "set":
		return c.setOf()
	case "date", "datetime", "timestamp":
		return c.dateOf
	case "time":
		return c.timeOf
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		return func(text string) (string, bool) { return hex.EncodeToString([]byte(text)), true }
	case "vector":
		return vectorOf
	case "json", "point", "geometry", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geomcollection", "geometrycollection":
		return nil
	}
	return func(text string) (string, bool) { return text, utf8.ValidString(text) }
}

// integerOf: a number with a fraction is no whole one, though MariaDB rounds it.
func (c *column) integerOf(text string) (string, bool) {
	if c.Kind == sources.Bool {
		switch text {
		case "true":
			return "1", true
		case "false":
			return "0", true
		}
	}
	whole, fraction, _ := strings.Cut(text, ".")
	if strings.Trim(fraction, "0") != "" {
		return "", false
	}
	size := map[string]int{"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64, "year": 16, "bit": c.precision}[c.dataType]
	if c.dataType != "bit" && c.dataType != "year" && !strings.Contains(c.fullType, "unsigned") {
		n, err := strconv.ParseInt(whole, 10, size)
		return strconv.FormatInt(n, 10), err == nil
	}
	n, err := strconv.ParseUint(whole, 10, size)
	if c.dataType == "year" && n > 0 && n < 100 {
		return "", false // it would stand for another one
	}
	return strconv.FormatUint(n, 10), err == nil
}

func (c *column) decimalOf(text string) (string, bool) {
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	digits := whole + fraction
	return text, whole != "" && strings.Trim(digits, "0123456789") == "" && !strings.HasSuffix(text, ".") &&
		len(strings.TrimRight(fraction, "0")) <= c.scale
}

// floatOf has all digits of the value as a DOUBLE, which a FLOAT is compared as.
func (c *column) floatOf(text string) (string, bool) {
	f, err := strconv.ParseFloat(text, 8*c.Size)
	return strconv.FormatFloat(f, 'e', -1, 64), err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}

// textOf is the canonical text of an enum's or a set's number.
func (c *column) textOf(n uint64) string {
	text, err := c.forms[0].convert(nil, binary.LittleEndian.AppendUint64(nil, n))
	if err != nil {
		return ""
	}
	return string(text)
}

func (c *column) enumOf() func(text string) (string, bool) {
	labels, _ := parseLabels(c.fullType)
	numbers := make(map[string]string, len(labels)+1)
	for n := range uint64(len(labels) + 1) {
		numbers[c.textOf(n)] = strconv.FormatUint(n, 10)
	}
	return func(text string) (string, bool) {
		number, ok := numbers[text]
		return number, ok
	}
}

func (c *column) setOf() func(text string) (string, bool) {
	labels, _ := parseLabels(c.fullType)
	bits := make(map[string]uint64, len(labels))
	for i, label := range labels {
		bits[string(label)] = 1 << i
	}
	return func(text string) (string, bool) {
		shown := sources.CutMark([]byte(text))
		var set []string
		if json.Unmarshal(shown, &set) != nil {
			return "", false
		}
		var number uint64
		if len(shown) < len(text) {
			number = bits[""] // which is shown to be there by the mark alone
		}
		for _, label := range set {
			number |= bits[label]
		}
		return strconv.FormatInt(int64(number), 10), c.textOf(number) == text
	}
}

func vectorOf(text string) (string, bool) {
	var numbers []float32
	if json.Unmarshal([]byte(text), &numbers) != nil {
		return "", false
	}
	var value []byte
	for _, f := range numbers {
		value = binary.LittleEndian.AppendUint32(value, math.Float32bits(f))
	}
	again, err := convertVector(nil, value)
	return hex.EncodeToString(value), err == nil && string(again) == text
}

// dateOf takes dates, and those with a time of day, with digits of a second that the column has.
func (c *column) dateOf(text string) (string, bool) {
	text = strings.Replace(strings.TrimSuffix(text, "Z"), "T", " ", 1)
	m, err := parseDateTime([]byte(text))
	if err != nil || m.month > 12 || m.day > 31 || m.hour > 23 || m.minute > 59 || m.second > 59 || !c.hasDigits(text) {
		return "", false
	}
	if c.dataType == "date" && m.hour+m.minute+m.second > 0 {
		return "", false
	}
	return text, true
}

func (c *column) timeOf(text string) (string, bool) {
	p := clockParser{text: []byte(strings.TrimPrefix(text, "-"))}
	p.number(max(2, bytes.IndexByte(p.text, ':')), ':')
	minute, second := p.number(2, ':'), p.number(2, 0)
	if len(p.text) > 0 {
		p.skip('.')
		p.fraction()
	}
	return text, !p.failed && len(p.text) == 0 && minute < 60 && second < 60 && c.hasDigits(text)
}

// hasDigits reports whether the column holds all digits of a text's second.
func (c *column) hasDigits(text string) bool {
	_, fraction, _ := strings.Cut(text, ".")
	return len(strings.TrimRight(fraction, "0")) <= c.fraction
}
