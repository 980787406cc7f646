package web

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// whole is a number with its thousands apart.
func whole(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "−", digits[1:]
	}
	return sign + thousands(digits)
}

func thousands(digits string) string {
	var b strings.Builder
	for i, r := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// decimals that are shown of a number that has more than it can be exact in.
const shownDecimals = 2

// figure is a widget's number for people: a date as it is, and an average with two
// decimals. Digits that money has stay.
func figure(raw json.RawMessage) string {
	text := string(raw)
	if text == "" || text == "null" {
		return "–"
	}
	var quoted string
	if json.Unmarshal(raw, &quoted) == nil {
		return quoted
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	if strings.ContainsAny(text, "eE") {
		return text
	}
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "−", text[1:]
	}
	before, after, _ := strings.Cut(text, ".")
	if len(after) > 2*shownDecimals && math.Abs(f) >= 0.01 {
		before, after, _ = strings.Cut(strconv.FormatFloat(math.Abs(f), 'f', shownDecimals, 64), ".")
	}
	if after != "" {
		return sign + thousands(before) + "." + after
	}
	return sign + thousands(before)
}

// perSecond is a rate for people.
func perSecond(rate float64) string {
	if rate > 0 && rate < 10 {
		return strconv.FormatFloat(rate, 'f', 1, 64)
	}
	return whole(int64(math.Round(rate)))
}

// lasting is a time span for people, in at most two units.
func lasting(d time.Duration) string {
	switch {
	case d < 0:
		return "unknown"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second && d%time.Second != 0:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < time.Hour:
		return two(d, time.Minute, "min", time.Second, "s")
	case d < 24*time.Hour:
		return two(d, time.Hour, "h", time.Minute, "min")
	}
	return two(d, 24*time.Hour, "d", time.Hour, "h")
}

func two(d, large time.Duration, of string, small time.Duration, rest string) string {
	text := fmt.Sprintf("%d %s", d/large, of)
	if left := d % large / small; left > 0 {
		text += fmt.Sprintf(" %d %s", left, rest)
	}
	return text
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
