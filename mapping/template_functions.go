package mapping

import (
	"fmt"
	"slices"
	"strings"
	"text/template"
	"unicode"
	"unicode/utf8"
)

// templateFunctions are those that templates may call beside text/template's
// own. The value comes last, so that it can be piped. None has an effect, or
// sees anything but its arguments.
func templateFunctions() template.FuncMap {
	return template.FuncMap{
		rowName:  func() any { return nil }, // replaced when a template is compiled
		showName: show, truthName: isTrue,

		"lower": onText(strings.ToLower), "upper": onText(strings.ToUpper),
		"trim": onText(strings.TrimSpace), "title": onText(title), "striptags": onText(stripTags),
		"print": sprint, "println": sprintln, "printf": sprintf,
		"replace":       replaceText,
		"truncate":      func(n int, v any) (string, error) { return onText(truncator(n))(v) },
		"truncatewords": func(n int, v any) (string, error) { return onText(wordTruncator(n))(v) },

		"join":    join,
		"default": orDefault,
		"date":    formatDate,
		"json":    func(v any) (string, error) { text, _, err := appendValue(nil, v); return string(text), err },

		"number": formatNumber, "intcomma": groupDigits,
		"add": reckoner("+"), "sub": reckoner("-"), "mul": reckoner("*"), "div": reckoner("/"),

		// text/template's own would refuse NULL, and numbers that keep their digits
		"eq": func(a any, others ...any) bool { return isAnyOf(a, others) },
		"ne": func(a, b any) bool { return !equalValues(a, b) },
		"lt": comparer(func(c int) bool { return c < 0 }), "le": comparer(func(c int) bool { return c <= 0 }),
		"gt": comparer(func(c int) bool { return c > 0 }), "ge": comparer(func(c int) bool { return c >= 0 }),
		"not": func(v any) bool { return !isTrue(v) },
	}
}

// templateFunctionNames lists what templates may call, text/template's own too,
// sorted.
func templateFunctionNames() []string {
	names := []string{"and", "or", "index", "slice", "len", "print", "printf", "println"}
	for name := range templateFunctions() {
		if !strings.HasPrefix(name, "_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// isTrue is a value as a condition of a template: NULL, zero, and what is empty
// are false.
func isTrue(v any) bool {
	if d, ok := v.(Decimal); ok {
		return !d.isZero()
	}
	if isNull(v) {
		return false
	}
	ok, _ := template.IsTrue(v)
	return ok
}

// onText makes a function of what a value prints as.
func onText(f func(string) string) func(any) (string, error) {
	return func(v any) (string, error) {
		s, err := show(v)
		if err != nil {
			return "", err
		}
		return f(s), nil
	}
}

func replaceText(from, to string, v any) (string, error) {
	s, err := show(v)
	if err == nil {
		err = fits(growth(s, from, to))
	}
	if err != nil {
		return "", err
	}
	return strings.ReplaceAll(s, from, to), nil
}

// title makes the first letter of each word a capital and the others small.
func title(s string) string {
	inWord := false
	return strings.Map(func(r rune) rune {
		was := inWord
		inWord = unicode.IsLetter(r) || unicode.IsDigit(r) || was && r == '\''
		switch {
		case was:
			return unicode.ToLower(r)
		case inWord:
			return unicode.ToTitle(r)
		}
		return r
	}, s)
}

// truncator cuts text to n characters, the last of them an ellipsis where
// something was cut off.
func truncator(n int) func(string) string {
	return func(s string) string {
		if utf8.RuneCountInString(s) <= max(n, 0) {
			return s
		}
		if n <= 0 {
			return ""
		}
		return string([]rune(s)[:n-1]) + "…"
	}
}

// wordTruncator cuts text to n words.
func wordTruncator(n int) func(string) string {
	return func(s string) string {
		words := strings.Fields(s)
		if len(words) <= max(n, 0) {
			return strings.Join(words, " ")
		}
		return strings.Join(words[:max(n, 0)], " ") + " …"
	}
}

// stripTags takes out what looks like an HTML tag or comment.
func stripTags(s string) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(s, "<")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		end := tagEnd(rest)
		if end == 0 {
			out.WriteByte('<')
		}
		s = rest[end:]
	}
}

// tagEnd is where the tag ends whose < is before rest; 0 where it is none.
func tagEnd(rest string) int {
	closing := ">"
	switch name := strings.TrimPrefix(rest, "/"); {
	case strings.HasPrefix(rest, "!--"):
		closing = "-->"
	case name == "" || name[0] != '!' && name[0] != '?' && (name[0]|' ' < 'a' || name[0]|' ' > 'z'):
		return 0
	}
	if i := strings.Index(rest, closing); i >= 0 {
		return i + len(closing)
	}
	return 0
}

// join puts a separator between what a list's elements print as. NULLs are left out.
func join(separator string, list any) (string, error) {
	items, err := listOf(list)
	if err != nil {
		return "", err
	}
	texts := make([]string, 0, len(items))
	for _, item := range items {
		if isNull(item) {
			continue
		}
		s, err := show(item)
		if err != nil {
			return "", err
		}
		texts = append(texts, s)
	}
	if err := fits(joinedSize(texts, separator)); err != nil {
		return "", err
	}
	return strings.Join(texts, separator), nil
}

// orDefault is the value, or the fallback where it is NULL or empty text.
func orDefault(fallback, v any) any {
	if isNull(v) || v == "" {
		return fallback
	}
	return v
}

// formatDate prints a time by a Go layout. NULL and infinite times print as nothing.
func formatDate(layout string, v any) (string, error) {
	if isNull(v) {
		return "", nil
	}
	switch v := plain(v).(type) {
	case Time:
		if v.infinite != 0 {
			return "", nil
		}
		return v.Format(layout), nil
	case string:
		t, err := parseTimeLiteral(v)
		if err != nil {
			return "", err
		}
		return t.Format(layout), nil
	}
	return "", fmt.Errorf("date wants a time, not %s", describe(plain(v)))
}

// formatNumber prints a number with so many digits after the point, halves
// rounded away from zero. NULL prints as nothing.
func formatNumber(digits int, v any) (string, error) {
	if isNull(v) {
		return "", nil
	}
	if digits < 0 || digits > maxPower {
		return "", fmt.Errorf("digits must be from 0 to %d", maxPower)
	}
	x, finite, err := exactValue(v)
	if err != nil || !finite {
		return "", err
	}
	return x.round(digits).text(), nil
}

// groupDigits puts a comma between thousands.
func groupDigits(v any) (string, error) {
	if isNull(v) {
		return "", nil
	}
	x, finite, err := exactValue(v)
	if err != nil || !finite {
		return "", err
	}
	whole, fraction, hasFraction := strings.Cut(x.text(), ".")
	start := 0
	if whole[0] == '-' {
		start = 1
	}
	for i := len(whole) - 3; i > start; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if hasFraction {
		return whole + "." + fraction, nil
	}
	return whole, nil
}

// exactValue reads a number, or text that is one.
func exactValue(v any) (x exact, finite bool, err error) {
	switch n := plain(v).(type) {
	case int64:
		return integer(n), true, nil
	case Decimal, float64, string:
		s, err := show(n)
		if err != nil || s == "null" || s == "" {
			return exact{}, false, err
		}
		if d := (Decimal{s}); d.finite() {
			x, err = d.exact()
			return x, true, err
		}
		return exact{}, false, nil
	}
	return exact{}, false, fmt.Errorf("wants a number, not %s", describe(plain(v)))
}

func reckoner(op string) func(a, b any) (any, error) {
	return func(a, b any) (any, error) { return arithmetic(op, a, b) }
}

func isAnyOf(a any, others []any) bool {
	for _, b := range others {
		if equalValues(a, b) {
			return true
		}
	}
	return false
}

// comparer makes a comparison that is false where either side is NULL.
func comparer(ok func(int) bool) func(a, b any) (bool, error) {
	return func(a, b any) (bool, error) {
		if isNull(a) || isNull(b) {
			return false, nil
		}
		c, err := compareValues(a, b)
		return err == nil && ok(c), err
	}
}
