package conf

import (
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// A Source knows the place of every setting in the files that a configuration
// was read from, so that later problems can be reported with file and line.
type Source struct {
	Path   string // the main file
	places map[string]place
}

type place struct {
	file string
	line int
}

// Load reads the YAML file at path strictly into v, a pointer. Its `include:`
// list names more files by glob, relative to it, which may hold only the given
// sections; their entries join the main file's.
//
// The error is Errors, or one about the main file itself. Source and v are
// usable as far as they go even when there are Errors.
func Load(path string, v any, sections ...string) (*Source, error) {
	s := &Source{Path: path, places: make(map[string]place)}
	text, err := ReadFile(path, MaxFile)
	if err != nil {
		return s, fmt.Errorf("read config: %w", err)
	}
	main := parseDocument(path, text)
	if main.root == nil {
		return s, main.errs.Err()
	}
	d := &decoder{file: path, files: make(map[*yaml.Node]string), errs: main.errs}
	if main.root.Kind == yaml.MappingNode {
		d.include(main, sections)
	}
	s.index(main.root, "", path, d.files)
	d.value(main.root, reflect.ValueOf(v).Elem(), "")
	return s, d.errs.Err()
}

// Position is the file and line of a setting by its dotted path, or of the
// nearest section around it that is there.
func (s *Source) Position(path string) (file string, line int) {
	for path != "" {
		if p, ok := s.places[path]; ok {
			return p.file, p.line
		}
		path = path[:max(strings.LastIndexByte(path, '.'), 0)]
	}
	return s.Path, 0
}

// Has reports whether the files set something at the dotted path.
func (s *Source) Has(path string) bool {
	_, ok := s.places[path]
	return ok
}

// Paths lists the dotted paths of all settings in the files, sorted.
func (s *Source) Paths() []string { return slices.Sorted(maps.Keys(s.places)) }

// Errorf is a mistake at the dotted path, with its place.
func (s *Source) Errorf(path, format string, args ...any) Error {
	file, line := s.Position(path)
	return Error{File: file, Line: line, Path: path, Message: fmt.Sprintf(format, args...)}
}

// index notes the place of everything below n.
func (s *Source) index(n *yaml.Node, path, file string, files map[*yaml.Node]string) {
	for i, item := range n.Content {
		name, at := strconv.Itoa(i), item
		if n.Kind == yaml.MappingNode {
			if i%2 == 0 {
				continue
			}
			at = n.Content[i-1]
			name = at.Value
		}
		inFile := file
		if f, ok := files[item]; ok {
			inFile = f
		}
		s.places[join(path, name)] = place{inFile, at.Line}
		s.index(item, join(path, name), inFile, files)
	}
}

// include reads the files that the main file's `include:` names.
func (d *decoder) include(main *document, sections []string) {
	globs := lookupKey(main.root, "include")
	if globs == nil || globs.Kind != yaml.SequenceNode {
		return // a wrong type is reported when the main file is decoded
	}
	seen := map[string]bool{filepath.Clean(main.file): true}
	for i, glob := range globs.Content {
		at := join("include", strconv.Itoa(i))
		files, err := filepath.Glob(besides(main.file, glob.Value))
		if err != nil || len(files) == 0 {
			d.failf(glob, at, "no file matches %q", glob.Value)
			continue
		}
		slices.Sort(files)
		for _, file := range files {
			if seen[file] {
				continue
			}
			seen[file] = true
			text, err := ReadFile(file, MaxFile)
			if err != nil {
				d.failf(glob, at, "read included file: %v", err)
				continue
			}
			d.join(main, parseDocument(file, text), sections)
		}
	}
}

// besides is name relative to the folder of file.
func besides(file, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(file), name)
}

// join adds an included file's entries to the main file's sections.
func (d *decoder) join(main, included *document, sections []string) {
	d.errs = append(d.errs, included.errs...)
	if included.root == nil {
		return
	}
	defer func(before string) { d.file = before }(d.file)
	d.file = included.file
	if !d.is(included.root, "", yaml.MappingNode, "a section of settings") {
		return
	}
	for i := 0; i+1 < len(included.root.Content); i += 2 {
		key, value := included.root.Content[i], included.root.Content[i+1]
		switch {
		case !slices.Contains(sections, key.Value):
			d.failf(key, key.Value, "an included file may hold only %s%s", enumerate(sections), DidYouMean(key.Value, sections))
		case isNull(value):
		case d.is(value, key.Value, yaml.MappingNode, "a mapping of names to values"):
			d.joinSection(main, key, value)
		}
	}
}

func (d *decoder) joinSection(main *document, name, entries *yaml.Node) {
	section := lookupKey(main.root, name.Value)
	switch {
	case section == nil:
		section = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: name.Line}
		main.root.Content = append(main.root.Content, name, section)
		d.files[section] = d.file
	case isNull(section):
		section.Kind, section.Tag, section.Value = yaml.MappingNode, "!!map", ""
	case section.Kind != yaml.MappingNode:
		return // reported when the main file is decoded
	}
	for i := 0; i+1 < len(entries.Content); i += 2 {
		key, value := entries.Content[i], entries.Content[i+1]
		if first, at := lookupPair(section, key.Value); first != nil {
			file := main.file
			if f, ok := d.files[at]; ok {
				file = f
			}
			d.failf(key, join(name.Value, key.Value), "is defined twice; first at %s:%d", file, first.Line)
			continue
		}
		d.files[value] = d.file
		section.Content = append(section.Content, key, value)
	}
}

func lookupKey(mapping *yaml.Node, name string) *yaml.Node {
	_, value := lookupPair(mapping, name)
	return value
}

func lookupPair(mapping *yaml.Node, name string) (key, value *yaml.Node) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return mapping.Content[i], mapping.Content[i+1]
		}
	}
	return nil, nil
}

// enumerate lists names as a sentence does.
func enumerate(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
