package mapping

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one mistake in a Set.
type Problem struct {
	Path    string // dotted, as in the YAML file: indexes.notes.fields.title.template
	Message string
}

// String is the problem on one line.
func (p Problem) String() string { return lineBreaks.Replace(p.Path) + ": " + p.Message }

// lineBreaks are those within names, which must not look like the end of a problem.
var lineBreaks = strings.NewReplacer("\n", `\n`, "\r", `\r`)

// Problems are all the mistakes found, in the order of their paths.
type Problems []Problem

// Error is one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Err is the problems, or nil where there are none.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// add notes a problem once, and none that only follows from one told elsewhere.
func (p *Problems) add(path, format string, args ...any) {
	for _, a := range args {
		if err, ok := a.(error); ok && errors.As(err, new(toldError)) {
			return
		}
	}
	problem := Problem{Path: path, Message: lineBreaks.Replace(fmt.Sprintf(format, args...))}
	if !slices.Contains(*p, problem) {
		*p = append(*p, problem)
	}
}

// A toldError is about a name that is defined in the configuration; what is
// wrong with it is told there.
type toldError struct{ error }

func (e toldError) Unwrap() error { return e.error }

func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int { return strings.Compare(a.Path, b.Path) })
	return p
}

// folded are the problems, with one for all tables of a glob that have the same.
func (p *planner) folded() Problems {
	type one struct{ path, message string }
	tables := map[string][]string{} // of globs, by the path of their definition
	for _, u := range p.unitsFound {
		if u.glob {
			tables[u.path()] = append(tables[u.path()], u.table.String())
		}
	}
	var folded Problems
	first, others := map[one]int{}, map[int][]string{}
	for _, problem := range p.problems {
		about := ""
		for path, names := range tables {
			for _, name := range names {
				if strings.HasPrefix(problem.Path, path+".") && len(name) > len(about) && strings.Contains(problem.Message, name) {
					about = name
				}
			}
		}
		key := one{problem.Path, strings.ReplaceAll(problem.Message, about, "")}
		if at, ok := first[key]; ok && about != "" {
			others[at] = append(others[at], about)
			continue
		}
		first[key] = len(folded)
		folded = append(folded, problem)
	}
	for at, names := range others {
		more := ""
		if n := len(names); n > maxNamed {
			names, more = names[:maxNamed], fmt.Sprintf(" and %d more", n-maxNamed)
		}
		folded[at].Message += "; the same goes for " + strings.Join(names, ", ") + more
	}
	return folded
}

// maxNamed is how many tables one problem names beside the first.
const maxNamed = 5
