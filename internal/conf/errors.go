package conf

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// An Error is one mistake in a configuration file.
type Error struct {
	File    string // empty where not known (yet)
	Line    int    // from 1; 0 where not known
	Path    string // dotted, such as sink.elasticsearch.bulk.lanes; empty for the whole file
	Message string
	Near    string // of an unknown name: the valid one that was most likely meant, if any
}

// Error is the mistake on one line: config.yaml:14: source.slto: unknown setting.
func (e Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			b.WriteString(":" + strconv.Itoa(e.Line))
		}
		b.WriteString(": ")
	}
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Message)
	return b.String()
}

// Errors are all mistakes found, in the order of files and lines.
type Errors []Error

// Error is one line per mistake.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Err is the sorted errors, or nil when there are none.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	e.Sort()
	return e
}

// With adds those of more that are not there yet.
func (e Errors) With(more ...Error) Errors {
	for _, one := range more {
		if !slices.Contains(e, one) {
			e = append(e, one)
		}
	}
	return e
}

// Sort puts the errors in the order of files and lines.
func (e Errors) Sort() {
	slices.SortStableFunc(e, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
}

// join puts a dotted path together.
func join(path, name string) string {
	if path == "" || name == "" {
		return path + name
	}
	return path + "." + name
}
