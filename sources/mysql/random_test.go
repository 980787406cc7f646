package mysql

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"haystream/internal/typecases"
)

// TestRandomValues is TestTypes with many values that nobody thought of.
func TestRandomValues(t *testing.T) {
	const count = 1000
	eachServer(t, func(b *box) {
		rnd := rand.New(rand.NewPCG(1, 2))
		r := newTypesRig(b, "types_random", "SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+03:00'")
		literals := randomLiterals(r.reader.flavor, rnd)
		for _, kind := range slices.Sorted(maps.Keys(literals)) {
			c := typecases.Case{Type: kind}
			for range count {
				c.Values = append(c.Values, typecases.Value{SQL: literals[kind]()})
			}
			r.cases = append(r.cases, c)
		}
		r.run(b.T, map[typecases.Value]string{})
	})
}

// randomLiterals returns for each type how to make a literal of it.
func randomLiterals(f flavor, rnd *rand.Rand) map[string]func() string {
	double := func() string { return formatDouble(math.Float64frombits(rnd.Uint64())) }
	short := func() string {
		return formatDouble(float64(rnd.Int64N(1e6)) * math.Pow(10, float64(rnd.IntN(44)-22)))
	}
	hex := func(size int) string {
		var s strings.Builder
		for range size {
			fmt.Fprintf(&s, "%02x", byte(rnd.Uint32()>>rnd.IntN(9)))
		}
		return s.String()
	}
	digits := func(whole, fraction int) string {
		s := strings.Repeat("-", rnd.IntN(2))
		for i := range 1 + rnd.IntN(whole) + 1 + fraction {
			if s == "" || i == whole {
				s += "0."
				break
			}
			s += strconv.Itoa(rnd.IntN(10))
		}
		return s + strconv.Itoa(rnd.IntN(1e9))
	}
	moment := func() string {
		return fmt.Sprintf("'%04d-%02d-%02d %02d:%02d:%02d.%06d'", rnd.IntN(10000), rnd.IntN(13), rnd.IntN(32), rnd.IntN(24), rnd.IntN(60), rnd.IntN(60), rnd.IntN(1e6))
	}
	clock := func() string {
		return fmt.Sprintf("'%s%02d:%02d:%02d.%06d'", strings.Repeat("-", rnd.IntN(2)), rnd.IntN(839), rnd.IntN(60), rnd.IntN(59), rnd.IntN(1e6))
	}
	literals := map[string]func() string{
		"double":                            double,
		"double(30,5)":                      short,
		"float":                             func() string { return formatDouble(float64(math.Float32frombits(rnd.Uint32()))) },
		"float(20,4)":                       short,
		"decimal(65,30)":                    func() string { return digits(35, 30) },
		"decimal(20,7)":                     func() string { return digits(13, 7) },
		"decimal(8,8)":                      func() string { return digits(1, 8) },
		"datetime(6)":                       moment,
		"datetime(3)":                       moment,
		"date":                              moment,
		"time(6)":                           clock,
		"time(4)":                           clock,
		"time(1)":                           clock,
		"time":                              clock,
		"timestamp(6) NULL":                 func() string { return fmt.Sprintf("FROM_UNIXTIME(%d.%06d)", rnd.Int32(), rnd.IntN(1e6)) },
		"bigint":                            func() string { return strconv.FormatInt((rnd.Int64()-1<<62)>>rnd.IntN(64), 10) },
		"mediumint":                         func() string { return strconv.Itoa(rnd.IntN(1<<24) - 1<<23) },
		"bit(64)":                           func() string { return strconv.FormatUint(rnd.Uint64(), 10) },
		"bit(23)":                           func() string { return strconv.FormatUint(rnd.Uint64()>>41, 10) },
		"binary(16)":                        func() string { return "X'" + hex(16) + "'" },
		"varbinary(40)":                     func() string { return "X'" + hex(rnd.IntN(41)) + "'" },
		"char(20) CHARACTER SET latin1":     func() string { return "X'" + hex(rnd.IntN(21)) + "'" },
		"varchar(20) CHARACTER SET ucs2":    func() string { return "X'" + hex(2*rnd.IntN(21)) + "'" },
		"varchar(20) CHARACTER SET gbk":     func() string { return "X'" + hex(rnd.IntN(21)) + "'" },
		"varchar(20) CHARACTER SET cp932":   func() string { return "X'" + hex(rnd.IntN(21)) + "'" },
		"varchar(20) CHARACTER SET utf16":   func() string { return "X'" + hex(2*rnd.IntN(21)) + "'" },
		"varchar(20) CHARACTER SET utf8mb4": func() string { return "X'" + hex(rnd.IntN(21)) + "'" },
		"char(255)": func() string {
			return "REPEAT('" + strings.Repeat("€ ", rnd.IntN(3)) + "x', " + strconv.Itoa(rnd.IntN(60)) + ")"
		},
		"varchar(3000)": func() string { return "REPEAT('€', " + strconv.Itoa(rnd.IntN(3000)) + ")" },
		"year":          func() string { return strconv.Itoa(1901 + rnd.IntN(255)) },
		"point":         func() string { return fmt.Sprintf("ST_GeomFromText('POINT(%s %s)')", short(), short()) },
		"json": func() string {
			return "'" + strings.ReplaceAll(strings.ReplaceAll(string(randomJSON(rnd, 4)), `\`, `\\`), "'", "''") + "'"
		},
	}
	for _, count := range []int{255, 256, 700} {
		literals[labelled("enum", count)] = func() string { return strconv.Itoa(rnd.IntN(count + 1)) }
	}
	for _, count := range []int{8, 9, 24, 25, 64} {
		literals[labelled("set", count)] = func() string { return strconv.FormatUint(rnd.Uint64()>>(64-count), 10) }
	}
	if f == mariadbServer {
		literals["uuid"] = func() string { return "X'" + hex(16) + "'" }
		literals["inet6"] = func() string { return "X'" + hex(16) + "'" }
		literals["inet4"] = func() string { return "X'" + hex(4) + "'" }
	}
	return literals
}

// labelled is the type with so many labels.
func labelled(kind string, count int) string {
	labels := make([]string, count)
	for i := range labels {
		labels[i] = fmt.Sprintf("'%d'", i)
	}
	return kind + "(" + strings.Join(labels, ",") + ")"
}

func formatDouble(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		f = 0
	}
	return strconv.FormatFloat(f, 'e', -1, 64)
}

func randomJSON(rnd *rand.Rand, depth int) []byte {
	switch kind := rnd.IntN(8); {
	case kind < 2 && depth > 0:
		object := map[string]json.RawMessage{}
		for range rnd.IntN(6) {
			object[randomText(rnd)] = randomJSON(rnd, depth-1)
		}
		text, _ := json.Marshal(object) // what it is made of encodes
		return text
	case kind < 4 && depth > 0:
		array := []json.RawMessage{}
		for range rnd.IntN(6) {
			array = append(array, randomJSON(rnd, depth-1))
		}
		text, _ := json.Marshal(array) // what it is made of encodes
		return text
	case kind < 5:
		text, _ := json.Marshal(randomText(rnd)) // a string encodes
		return text
	case kind < 6:
		return strconv.AppendInt(nil, int64(rnd.Uint64())>>rnd.IntN(64), 10)
	}
	f := math.Float64frombits(rnd.Uint64())
	if rnd.IntN(2) == 0 {
		f = float64(rnd.Int64N(1e6)) * math.Pow(10, float64(rnd.IntN(44)-22))
	}
	return []byte(formatDouble(f))
}

func randomText(rnd *rand.Rand) string {
	var s strings.Builder
	for range rnd.IntN(12) {
		r := rune(rnd.IntN(128))
		switch rnd.IntN(10) {
		case 0:
			r = rune(0xa0 + rnd.IntN(0x3000))
		case 1:
			r = rune(0x1f600 + rnd.IntN(64))
		}
		s.WriteRune(r)
	}
	return strings.Repeat(s.String(), 1+rnd.IntN(3))
}
