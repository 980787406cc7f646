package mapping

import (
	"fmt"
	"strings"
	"text/template"

	"haystream/mapping/value"
)

// stepBytes is how many bytes of text made in a loop count as one more step.
const stepBytes = 64

// budgetName is where a row has its budget. No template can spell it.
const budgetName = "=budget"

// Functions that templates call in loops, with the row's values first. No
// template can spell them.
const (
	spanName   = "_span"
	loopPrefix = "_loop_"
)

// loopFunctions are those of the functions that templates may call which make
// text: in a loop that counts.
func loopFunctions(all template.FuncMap) template.FuncMap {
	loop := template.FuncMap{spanName: span}
	charge := func(row map[string]any, made string, err error) (string, error) {
		b, ok := row[budgetName].(*value.Budget)
		if err == nil && ok {
			err = b.Take(len(made)/stepBytes, "template")
		}
		return made, err
	}
	for name, f := range all {
		switch f := f.(type) {
		case func(any) (string, error):
			loop[loopPrefix+name] = func(row map[string]any, v any) (string, error) {
				made, err := f(v)
				return charge(row, made, err)
			}
		case func(string, any) (string, error):
			loop[loopPrefix+name] = func(row map[string]any, s string, v any) (string, error) {
				made, err := f(s, v)
				return charge(row, made, err)
			}
		case func(int, any) (string, error):
			loop[loopPrefix+name] = func(row map[string]any, n int, v any) (string, error) {
				made, err := f(n, v)
				return charge(row, made, err)
			}
		case func(string, string, any) (string, error):
			loop[loopPrefix+name] = func(row map[string]any, from, to string, v any) (string, error) {
				made, err := f(from, to, v)
				return charge(row, made, err)
			}
		case func(...any) (string, error):
			loop[loopPrefix+name] = func(row map[string]any, args ...any) (string, error) {
				made, err := f(args...)
				return charge(row, made, err)
			}
		case func(string, ...any) (string, error):
			loop[loopPrefix+name] = func(row map[string]any, format string, args ...any) (string, error) {
				made, err := f(format, args...)
				return charge(row, made, err)
			}
		}
	}
	return loop
}

// span takes as many steps as a range over v has.
func span(row map[string]any, v any) (any, error) {
	b, ok := row[budgetName].(*value.Budget)
	if !ok {
		return v, nil
	}
	return v, b.Take(lengthOf(v), "template")
}

// lengthOf is how often a range over v runs, at most.
func lengthOf(v any) int {
	switch v := value.Normalize(v).(type) {
	case []any:
		return len(v)
	case int64:
		return int(v)
	case map[string]any:
		return len(v)
	case string:
		return len(v)
	}
	return 1
}

// sprint, sprintln and sprintf are text/template's print, println and printf,
// that make no text that is too long.
func sprint(args ...any) (string, error) {
	if err := value.Fits(value.Size(args)); err != nil {
		return "", err
	}
	return fmt.Sprint(args...), nil
}

func sprintln(args ...any) (string, error) {
	if err := value.Fits(value.Size(args)); err != nil {
		return "", err
	}
	return fmt.Sprintln(args...), nil
}

func sprintf(format string, args ...any) (string, error) {
	if err := value.Fits(formatted(format, args)); err != nil {
		return "", err
	}
	return fmt.Sprintf(format, args...), nil
}

// formatted is what a format makes, at most: fmt pads to no more than a million.
func formatted(format string, args []any) int {
	const widest = 1_000_000
	n, each := len(format), value.Size(args)
	if !strings.Contains(format, "[") {
		n, each = n+each, 0 // each argument is printed once
	}
	for i := 0; i < len(format) && n <= value.MaxText; i++ {
		if format[i] != '%' {
			continue
		}
		n += each
		for i++; i < len(format) && strings.IndexByte("+-# 0123456789.*[]", format[i]) >= 0; {
			digits := 0
			for ; i < len(format) && format[i] >= '0' && format[i] <= '9'; i++ {
				digits = min(10*digits+int(format[i]-'0'), widest)
			}
			if n += digits; i < len(format) && format[i] == '*' {
				n += widest
			}
			if digits == 0 || i < len(format) && format[i] == '*' {
				i++
			}
		}
	}
	return n
}

// joinedSize is how long texts are with a separator between them.
func joinedSize(texts []string, separator string) int {
	n := max(len(texts)-1, 0) * len(separator)
	for _, s := range texts {
		n += len(s)
	}
	return n
}
