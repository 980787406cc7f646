package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxNodes bounds what aliases may expand to.
const maxNodes = 200_000

// A document is one YAML file made plain: aliases and merge keys are written
// out, environment variables are filled in, and no key stands twice.
type document struct {
	file  string
	root  *yaml.Node // nil where the file is empty
	nodes int
	open  map[*yaml.Node]bool // being copied: an alias to one of them has no end
	errs  Errors
}

// parseDocument reads one YAML file's text.
func parseDocument(file string, text []byte) *document {
	d := &document{file: file, open: make(map[*yaml.Node]bool)}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var parsed, second yaml.Node
	err := decoder.Decode(&parsed)
	if errors.Is(err, io.EOF) {
		return d
	}
	if err != nil {
		d.errs = append(d.errs, syntaxError(file, text, err))
		return d
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		d.failf(&second, "", "the file holds more than one YAML document")
		return d
	}
	d.root = d.plain(parsed.Content[0], "")
	return d
}

var (
	syntaxLine    = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	parserMessage = regexp.MustCompile(`^did not find expected (node content|key|','|'-'|<)`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// hints say what is mostly behind the parser's words.
var hints = map[string]string{
	"mapping values are not allowed in this context": "; a text that holds a colon and a space needs quotes, or the indentation is wrong",
	"found character that cannot start any token":    "; indent with spaces, not tabs, and put a text that begins with @, ` or % in quotes",
	"did not find expected key":                      "; check the indentation, and that quotes and brackets are closed",
	"did not find expected ',' or '}'":               "; a { before this line is not closed, a comma is missing, or a text that holds commas and quotes, or ${NAME}, is not in quotes itself",
	"did not find expected ',' or ']'":               "; a [ before this line is not closed, a comma is missing, or ${NAME} is not in quotes",
	"found unexpected end of stream":                 "; a quote is not closed",
}

// syntaxError gives a YAML parser's error its place: yaml.v3 counts lines from
// 1 in its scanner and from 0 in its parser. An unknown anchor's name is left
// out: it may be a password that begins with a star.
func syntaxError(file string, text []byte, err error) Error {
	e := Error{File: file, Message: err.Error()}
	if m := syntaxLine.FindStringSubmatch(err.Error()); m != nil {
		e.Line = 1 // which the parser leaves out
		if m[1] != "" {
			e.Line, _ = strconv.Atoi(m[1])
		}
		e.Message = m[2]
		if parserMessage.MatchString(e.Message) {
			e.Line++
		}
	}
	e.Message += hints[e.Message]
	if m := unknownAnchor.FindStringSubmatch(e.Message); m != nil {
		before, _, _ := strings.Cut(string(text), "*"+m[1])
		e.Line = 1 + strings.Count(before, "\n")
		e.Message = "an anchor of that name is not set; a text that begins with * needs quotes"
	}
	return e
}

func (d *document) failf(n *yaml.Node, path, format string, args ...any) {
	d.errs = append(d.errs, Error{File: d.file, Line: n.Line, Path: path, Message: fmt.Sprintf(format, args...)})
}

// plain returns a copy of n without aliases, merge keys and variables.
func (d *document) plain(n *yaml.Node, path string) *yaml.Node {
	alias := n
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	c := *n
	c.Anchor, c.Content = "", nil
	if d.open[n] {
		d.failf(alias, path, "refers to itself")
		return &c
	}
	d.open[n] = true
	defer delete(d.open, n)
	if d.nodes++; d.nodes > maxNodes {
		if d.nodes == maxNodes+1 {
			d.failf(n, path, "the aliases expand to more than %d values", maxNodes)
		}
		return &c
	}
	if tag := n.ShortTag(); !knownTags[tag] {
		d.failf(n, path, "YAML tags are not understood here; a text that begins with ! needs quotes")
		return &c
	}
	switch n.Kind {
	case yaml.ScalarNode:
		d.expand(&c, path)
	case yaml.SequenceNode:
		for i, item := range n.Content {
			c.Content = append(c.Content, d.plain(item, join(path, strconv.Itoa(i))))
		}
	case yaml.MappingNode:
		d.mapping(n, &c, path)
	}
	return &c
}

var knownTags = map[string]bool{
	"!!null": true, "!!bool": true, "!!str": true, "!!int": true, "!!float": true,
	"!!timestamp": true, "!!seq": true, "!!map": true, "!!merge": true,
}

// fromVariable marks a text in quotes that is a variable and nothing else. Inside { } a variable needs the quotes, so that
// it may be a number nevertheless, where one is wanted.
const fromVariable yaml.Style = 1 << 31

// expand fills in variables; what comes out is typed anew, so that a variable
// may hold a number.
func (d *document) expand(c *yaml.Node, path string) {
	if !strings.Contains(c.Value, "${") {
		return
	}
	value, err := expand(c.Value)
	if err != nil {
		d.failf(c, path, "%v", err)
	}
	if strings.HasPrefix(c.Value, "${") && strings.Index(c.Value, "}") == len(c.Value)-1 {
		c.Style |= fromVariable
	}
	c.Value = value
	if c.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) == 0 {
		c.Tag = ""
		c.Tag = c.ShortTag()
	}
}

// mapping copies n's keys and values into c, its own before merged ones.
func (d *document) mapping(n, c *yaml.Node, path string) {
	first := make(map[string]*yaml.Node)
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		for key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		switch {
		case key.Kind != yaml.ScalarNode:
			d.failf(key, path, "a key must be a plain word")
		case key.ShortTag() == "!!merge":
			merged = append(merged, value)
		case first[key.Value] != nil:
			d.failf(key, join(path, key.Value), "is set twice; first on line %d", first[key.Value].Line)
		default:
			first[key.Value] = key
			c.Content = append(c.Content, key, d.plain(value, join(path, key.Value)))
		}
	}
	for _, m := range merged {
		d.merge(m, c, first, path)
	}
}

// merge adds the keys of a merge key's value (<<) that c does not have.
func (d *document) merge(from, c *yaml.Node, have map[string]*yaml.Node, path string) {
	switch p := d.plain(from, path); p.Kind {
	case yaml.SequenceNode:
		for _, item := range p.Content {
			d.merge(item, c, have, path)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(p.Content); i += 2 {
			if key := p.Content[i]; have[key.Value] == nil {
				have[key.Value] = key
				c.Content = append(c.Content, key, p.Content[i+1])
			}
		}
	default:
		d.failf(from, path, "<< takes a mapping or a list of mappings")
	}
}
