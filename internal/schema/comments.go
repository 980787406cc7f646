package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// comments of struct fields, by package path, type and field, dotted.
type comments map[string]string

// commented lists the packages that settings are declared in.
func commented() []string {
	return []string{"replicator/config", "sources", "sinks/elasticsearch", "sinks/ndjson", "mapping"}
}

// readComments reads the comments of all structs in the packages that settings
// are declared in.
func readComments(root string) (comments, error) {
	c := make(comments)
	for _, dir := range commented() {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil {
			return nil, fmt.Errorf("list source files: %w", err)
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return nil, fmt.Errorf("parse source file: %w", err)
			}
			c.add("haystream/"+dir, parsed)
		}
	}
	return c, nil
}

func (c comments) add(pkg string, file *ast.File) {
	for _, declaration := range file.Decls {
		types, ok := declaration.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range types.Specs {
			spec, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			if structure, ok := spec.Type.(*ast.StructType); ok {
				c.addFields(pkg+"."+spec.Name.Name, types.Doc, structure)
			}
		}
	}
}

// addFields takes a field without a comment as one that the comment above it is
// about, too, the type's for the first. Go names become the settings' names.
func (c comments) addFields(typ string, above *ast.CommentGroup, structure *ast.StructType) {
	var names []string // Go name, setting, Go name, setting, …
	for _, f := range structure.Fields.List {
		if setting := settingName(f); setting != "" {
			names = append(names, f.Names[0].Name, setting)
		}
	}
	for _, f := range structure.Fields.List {
		if f.Doc != nil {
			above = f.Doc
		}
		text := rename(strings.Join(strings.Fields(above.Text()), " "), names)
		for _, name := range f.Names {
			c[typ+"."+name.Name] = text
		}
	}
}

// settingName is the yaml name of a field; empty where it is no setting.
func settingName(f *ast.Field) string {
	if f.Tag == nil || len(f.Names) == 0 {
		return ""
	}
	tag, err := strconv.Unquote(f.Tag.Value)
	if err != nil {
		return ""
	}
	name, _, _ := strings.Cut(reflect.StructTag(tag).Get("yaml"), ",")
	return strings.TrimPrefix(name, "-")
}

// rename replaces whole words: each odd one of pairs by the next.
func rename(text string, pairs []string) string {
	return word.ReplaceAllStringFunc(text, func(w string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == w {
				return pairs[i+1]
			}
		}
		return w
	})
}

var word = regexp.MustCompile(`\w+`)
