package mapping

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"text/template"
	"time"
	"unicode"
	"unicode/utf8"

	"haystream/mapping/value"
)

// templateFunctions are those that templates may call beside text/template's
// own. The value comes last, so that it can be piped. None has an effect, or
// sees anything but its arguments.
func templateFunctions() template.FuncMap {
	return template.FuncMap{
		rowName:  func() any { return nil }, // replaced when a template is compiled
		showName: value.Text, truthName: isTrue,
		nullName: value.IsNull, notNullName: func(v any) bool { return !value.IsNull(v) },

		"lower": onText(strings.ToLower), "upper": onText(strings.ToUpper),
		"trim": onText(strings.TrimSpace), "title": onText(title), "striptags": onText(stripTags),
		"print": sprint, "println": sprintln, "printf": sprintf,
		"replace":       replaceText,
		"truncate":      func(n int, v any) (string, error) { return onText(truncator(n))(v) },
		"truncatewords": func(n int, v any) (string, error) { return onText(wordTruncator(n))(v) },

		"join":    join,
		"default": orDefault,
		"date":    formatDate,
		"json":    func(v any) (string, error) { text, _, err := value.AppendJSON(nil, v); return string(text), err },

		"number": formatNumber, "intcomma": groupDigits,
		"add": arithmetic("+"), "sub": arithmetic("-"), "mul": arithmetic("*"), "div": arithmetic("/"),

		// text/template's own count bytes, and would cut characters in two
		"slice": slice, "len": length,

		// text/template's own would refuse NULL, and numbers that keep their digits
		"eq": func(a any, others ...any) bool { return isAnyOf(a, others) },
		"ne": func(a, b any) bool { return !value.Equal(a, b) },
		"lt": comparer(func(c int) bool { return c < 0 }), "le": comparer(func(c int) bool { return c <= 0 }),
		"gt": comparer(func(c int) bool { return c > 0 }), "ge": comparer(func(c int) bool { return c >= 0 }),
		"not": func(v any) bool { return !isTrue(v) },
	}
}

// templateFunctionNames lists what templates may call, text/template's own too,
// sorted.
func templateFunctionNames() []string {
	names := []string{"and", "or", "index"}
	for name := range templateFunctions() {
		if !strings.HasPrefix(name, "_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// slice is a part of a text or list, up to its end where no other one is given.
func slice(v any, bounds ...any) (any, error) {
	switch len(bounds) {
	case 0:
		return v, nil
	case 1:
		return value.Slice(v, bounds[0], nil)
	case 2:
		return value.Slice(v, bounds[0], bounds[1])
	}
	return nil, errors.New("slice takes two bounds at most")
}

// length is how many characters a text has, or elements a list. NULL has none.
func length(v any) (int, error) {
	if value.IsNull(v) {
		return 0, nil
	}
	if s, ok := v.(string); ok {
		return utf8.RuneCountInString(s), nil
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Slice, reflect.Map:
		return r.Len(), nil
	}
	return 0, fmt.Errorf("len wants a text or a list, not %s", value.Describe(v))
}

// isTrue is a value as a condition of a template: NULL, zero, and what is empty
// are false.
func isTrue(v any) bool {
	if d, ok := v.(value.Decimal); ok {
		return !value.Equal(d, int64(0))
	}
	if value.IsNull(v) {
		return false
	}
	ok, _ := template.IsTrue(v)
	return ok
}

// onText makes a function of what a value prints as.
func onText(f func(string) string) func(any) (string, error) {
	return func(v any) (string, error) {
		s, err := value.Text(v)
		if err != nil {
			return "", err
		}
		return f(s), nil
	}
}

func replaceText(from, to string, v any) (string, error) {
	s, err := value.Text(v)
	if err == nil {
		err = value.Fits(value.ReplacedSize(s, from, to))
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
	items, err := value.List(list)
	if err != nil {
		return "", err
	}
	texts := make([]string, 0, len(items))
	for _, item := range items {
		if value.IsNull(item) {
			continue
		}
		s, err := value.Text(item)
		if err != nil {
			return "", err
		}
		texts = append(texts, s)
	}
	if err := value.Fits(joinedSize(texts, separator)); err != nil {
		return "", err
	}
	return strings.Join(texts, separator), nil
}

// orDefault is the value, or the fallback where it is NULL or empty text.
func orDefault(fallback, v any) any {
	if value.IsNull(v) || v == "" {
		return fallback
	}
	return v
}

// formatDate prints a time by a Go layout. NULL and infinite times print as nothing.
func formatDate(layout string, v any) (string, error) {
	if value.IsNull(v) {
		return "", nil
	}
	switch v := value.Normalize(v).(type) {
	case value.Time:
		if value.Infinity(v) != 0 {
			return "", nil
		}
		return v.Format(layout), nil
	case string:
		t, err := value.ParseTimeLiteral(v, time.UTC)
		if err != nil {
			return "", err
		}
		return t.Format(layout), nil
	}
	return "", fmt.Errorf("date wants a time, not %s", value.Describe(v))
}

// formatNumber prints a number with so many digits after the point, halves
// rounded away from zero. NULL prints as nothing.
func formatNumber(digits int, v any) (string, error) {
	if value.IsNull(v) {
		return "", nil
	}
	if digits < 0 || digits > value.MaxDigits {
		return "", fmt.Errorf("digits must be from 0 to %d", value.MaxDigits)
	}
	return value.Digits(v, digits)
}

// groupDigits puts a comma between thousands.
func groupDigits(v any) (string, error) {
	if value.IsNull(v) {
		return "", nil
	}
	text, err := value.Digits(v, -1)
	if err != nil || text == "" {
		return "", err
	}
	whole, fraction, hasFraction := strings.Cut(text, ".")
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

func arithmetic(op string) func(a, b any) (any, error) {
	return func(a, b any) (any, error) { return value.Compute(op, a, b) }
}

func isAnyOf(a any, others []any) bool {
	for _, b := range others {
		if value.Equal(a, b) {
			return true
		}
	}
	return false
}

// comparer makes a comparison that is false where either side is NULL.
func comparer(ok func(int) bool) func(a, b any) (bool, error) {
	return func(a, b any) (bool, error) {
		if value.IsNull(a) || value.IsNull(b) {
			return false, nil
		}
		c, err := value.Compare(a, b)
		return err == nil && ok(c), err
	}
}
