package mapping

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"haystream/internal/conf"
	"haystream/mapping/template/django"
)

// includePath is the path of a file that the file with path from includes. A name that
// begins with a dot is relative to that file; others are looked for in its folder, then
// in those around it, as Django looks for them in its folders of templates.
func includePath(name, from string, exists func(path string) bool) (string, bool) {
	dir := path.Dir(path.Clean(from))
	if strings.HasPrefix(name, "./") || strings.HasPrefix(name, "../") {
		file := path.Join(dir, name)
		return file, fs.ValidPath(file) && exists(file)
	}
	for {
		if file := path.Join(dir, name); fs.ValidPath(file) && exists(file) {
			return file, true
		}
		if dir == "." {
			return "", false
		}
		dir = path.Dir(dir)
	}
}

// include returns a file that the one with path from includes.
func (t templateText) include(name, from string) (file, text string, err error) {
	file, ok := includePath(name, from, func(file string) bool { _, ok := t.includes[file]; return ok })
	if !ok {
		return "", "", fmt.Errorf("there is no file %q to include", name)
	}
	return file, t.includes[file], nil
}

// readIncludes reads the files that a template with the given path includes, and those
// that these include, into found. One that is not there is told where it is included.
func readIncludes(fsys fs.FS, text, from string, found map[string]string) error {
	for _, name := range django.Includes(text) {
		file, ok := includePath(name, from, func(file string) bool {
			info, err := fs.Stat(fsys, file)
			return err == nil && !info.IsDir()
		})
		if _, have := found[file]; !ok || have {
			continue
		}
		read, err := conf.ReadFileIn(fsys, file, conf.MaxFile)
		if err != nil {
			return fmt.Errorf("read included template: %w", err)
		}
		found[file] = string(read)
		if err := readIncludes(fsys, string(read), file, found); err != nil {
			return err
		}
	}
	return nil
}

// ReadTemplates puts the content of every template_file, and of the files that
// templates include, in its place, so that the Set stands alone. Files are relative
// to fsys and cannot be outside of it.
func (s *Set) ReadTemplates(fsys fs.FS) Problems {
	var problems Problems
	for _, name := range slices.Sorted(maps.Keys(s.Indexes)) {
		if d := s.Indexes[name]; d != nil {
			d.Fields.readTemplates(fsys, "indexes."+name, &problems)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Tables)) {
		if t := s.Tables[name]; t != nil {
			t.readIncludes(fsys, "tables."+name, &problems)
		}
	}
	return problems
}

func (t *TableConfig) readIncludes(fsys fs.FS, at string, problems *Problems) {
	found := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(t.Computed)) {
		if err := readIncludes(fsys, t.Computed[name].Text, "", found); err != nil {
			problems.add(at+".computed."+name, "%v", err)
		}
	}
	if len(found) > 0 {
		t.Includes = found
	}
}

// readTemplates reads the files of fields' templates, and of those of related rows.
func (f *Fields) readTemplates(fsys fs.FS, within string, problems *Problems) {
	for _, name := range slices.Sorted(maps.Keys(f.Named)) {
		field, at := f.Named[name], within+".fields."+name
		if field == nil {
			continue
		}
		field.Fields.readTemplates(fsys, at, problems)
		setting := ".template"
		if field.TemplateFile != "" {
			setting = ".template_file"
		}
		if err := field.readTemplate(fsys); err != nil {
			problems.add(at+setting, "%v", err)
		}
	}
}

func (f *Field) readTemplate(fsys fs.FS) error {
	file := ""
	if f.TemplateFile != "" && f.Template == "" {
		file = path.Clean(f.TemplateFile)
		if !fs.ValidPath(file) {
			return fmt.Errorf("%q is not a relative path below the configuration's folder", f.TemplateFile)
		}
		text, err := conf.ReadFileIn(fsys, file, conf.MaxFile)
		if err != nil {
			return fmt.Errorf("read template: %w", err)
		}
		f.Template, f.inlined = string(text), true
	}
	found := map[string]string{}
	if err := readIncludes(fsys, f.Template, file, found); err != nil {
		return err
	}
	if len(found) > 0 {
		f.Includes, f.File = found, file
	}
	return nil
}
