// Package conf decodes configuration strictly: every mistake is reported, with
// its file and line and the nearest valid name, all at once.
package conf

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Secret is a string that prints as stars wherever it is formatted or encoded.
type Secret string

// Reveal is the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalText hides the secret from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Bytes is a size in bytes, written as 5MiB, 512KiB, 1GB or a bare number.
type Bytes int64

var byteUnits = []struct {
	suffix string
	size   int64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"kB", 1e3},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"B", 1},
}

// parseBytes reads a size.
func parseBytes(s string) (Bytes, error) {
	digits, unit := strings.TrimSpace(s), int64(1)
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(digits, u.suffix); ok {
			digits, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || n < 0 || n*float64(unit) > math.MaxInt64/2 {
		return 0, fmt.Errorf("%q is not a size; write it like 5MiB", s)
	}
	return Bytes(n * float64(unit)), nil
}

// UnmarshalText reads a size.
func (b *Bytes) UnmarshalText(text []byte) (err error) {
	*b, err = parseBytes(string(text))
	return err
}

// String is the size with the largest binary unit that keeps it readable.
func (b Bytes) String() string {
	for i := 3; i >= 0; i-- {
		if u := byteUnits[i]; int64(b) >= u.size {
			return strconv.FormatFloat(math.Round(float64(b)/float64(u.size)*10)/10, 'f', -1, 64) + u.suffix
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}

// Duration is a time span, written as 100ms, 5s or 1h30m.
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration; write it like 100ms or 5s", text)
	}
	*d = Duration(v)
	return nil
}

// String is the duration in Go's notation.
func (d Duration) String() string { return time.Duration(d).String() }
