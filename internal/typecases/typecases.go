// Package typecases reads the file of example values of a database's types,
// with the JSON that each becomes. Tests of the source and of the whole
// pipeline share it.
//
// The file has sections: [type], with "since N" behind it where only servers
// from that version on have the type. A line is a value as SQL; indented under
// it is the JSON that it becomes; and under that, indented twice, why the search
// engine refuses it, where it does. Statements before the first section make
// the types. Lines that begin with # are comments.
package typecases

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A Case is a type with its values.
type Case struct {
	Type   string // as SQL
	Since  int    // the oldest server version that has it; 0: all
	Values []Value
}

// A Value is one example.
type Value struct {
	SQL     string
	Want    string // JSON
	Refused string // why the search engine refuses it; empty where it does not

	line int // where Want is in the file, or belongs
}

// Read reads the file as far as a server of that version has the types.
func Read(path string, version int) (statements []string, cases []Case, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read type cases: %w", err)
	}
	var all []Case
	for n, line := range strings.Split(string(text), "\n") {
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			c, err := parseSection(line)
			if err != nil {
				return nil, nil, fmt.Errorf("%s:%d: %w", path, n+1, err)
			}
			all = append(all, c)
		case len(all) == 0:
			statements = append(statements, line)
		default:
			all[len(all)-1].add(line, n)
		}
	}
	for _, c := range all {
		if c.Since <= version {
			cases = append(cases, c)
		}
	}
	return statements, cases, nil
}

func parseSection(line string) (c Case, err error) {
	end := strings.LastIndex(line, "]")
	if end < 0 {
		return c, fmt.Errorf("the section has no end: %s", line)
	}
	c.Type = line[1:end]
	if since, ok := strings.CutPrefix(line[end:], "] since "); ok {
		c.Since, err = strconv.Atoi(since)
	}
	return c, err
}

func (c *Case) add(line string, n int) {
	last := len(c.Values) - 1
	switch {
	case strings.HasPrefix(line, "\t\t"):
		c.Values[last].Refused = line[2:]
	case strings.HasPrefix(line, "\t"):
		c.Values[last].Want, c.Values[last].line = line[1:], n
	default:
		c.Values = append(c.Values, Value{SQL: line, line: n})
	}
}

// Update writes what values have become into the file.
func Update(path string, got map[Value]string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("update type cases: %w", err)
	}
	lines := map[int]string{}
	for value, json := range got {
		lines[value.line] = json
	}
	var out strings.Builder
	for n, line := range strings.SplitAfter(string(text), "\n") {
		json, ok := lines[n]
		if !ok || !strings.HasPrefix(line, "\t") {
			out.WriteString(line)
		}
		if ok {
			fmt.Fprintf(&out, "\t%s\n", json)
		}
	}
	if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
		return fmt.Errorf("update type cases: %w", err)
	}
	return nil
}
