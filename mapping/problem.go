package mapping

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"haystream/internal/conf"
)

// A Problem is one mistake in a Set.
type Problem struct {
	Path    string // dotted, as in the YAML file: indexes.notes.fields.title.template
	Message string
}

// String is the problem on one line.
func (p Problem) String() string { return p.Path + ": " + p.Message }

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

// add notes a problem once, and none that only follows from one told elsewhere.
func (p *Problems) add(path, format string, args ...any) {
	for _, a := range args {
		if err, ok := a.(error); ok && errors.As(err, new(toldError)) {
			return
		}
	}
	problem := Problem{Path: path, Message: fmt.Sprintf(format, args...)}
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

// ReadTemplates puts the content of every template_file in its place, so that
// the Set stands alone. Files are relative to fsys and cannot be outside of it.
func (s *Set) ReadTemplates(fsys fs.FS) Problems {
	var problems Problems
	for _, name := range slices.Sorted(maps.Keys(s.Indexes)) {
		d := s.Indexes[name]
		if d == nil {
			continue
		}
		d.Fields.readTemplates(fsys, "indexes."+name, &problems)
	}
	return problems
}

// readTemplates reads the template files of fields, and of those of related rows.
func (f *Fields) readTemplates(fsys fs.FS, within string, problems *Problems) {
	for _, name := range slices.Sorted(maps.Keys(f.Named)) {
		field, at := f.Named[name], within+".fields."+name
		if field == nil {
			continue
		}
		(&Fields{Named: field.Fields}).readTemplates(fsys, at, problems)
		if field.TemplateFile == "" || field.Template != "" {
			continue
		}
		at += ".template_file"
		file := path.Clean(field.TemplateFile)
		if !fs.ValidPath(file) {
			problems.add(at, "%q is not a relative path below the configuration's folder", field.TemplateFile)
			continue
		}
		text, err := conf.ReadFileIn(fsys, file, conf.MaxFile)
		if err != nil {
			problems.add(at, "read template: %v", err)
			continue
		}
		field.Template, field.inlined = string(text), true
	}
}
