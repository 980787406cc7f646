// Package django is Django's template language, compiled against what a row has.
// It prints what Django 5.2 prints in English, byte for byte.
//
// A template is compiled once: names are resolved, and all mistakes found, then. It
// is rendered by a Machine, one for each goroutine, which reads values from rows
// as they are needed. A template sees the row and nothing else: no clock, no
// files, no chance.
package django

import (
	"time"

	"haystream/mapping/value"
)

// A Row is a row of the caller's, an Env what the caller needs to read one. Both are
// handed to the functions of Members.
type (
	Row any
	Env any
)

// A Scope tells what names mean at a row.
type Scope interface {
	// Member looks a name up, and notes that the template reads it.
	Member(name string) (Member, error)
}

// A Member is what a name stands for at a row: a value, or the rows that a
// relation leads to.
type Member struct {
	// Value reads the value. nil for rows.
	Value func(env Env, row Row) (Value, error)

	// Type is what is known of the value.
	Type Type

	// Scope is that of the rows; Many where there may be more than one.
	Scope Scope
	Many  bool

	// Rows appends the rows.
	Rows func(env Env, row Row, dst []Row) ([]Row, error)
}

// textName is the member that a row itself prints as.
const textName = "__str__"

// rowName is the row's name in templates. Its members need not be written with it.
const rowName = "object"

// Options say what a template is compiled for.
type Options struct {
	// Scope is that of the row.
	Scope Scope

	// Zone is what times are shown in. nil: UTC.
	Zone *time.Location

	// Plain: what is printed is no HTML and not escaped.
	Plain bool

	// File names the template, for the paths of files that it includes and for messages.
	File string

	// Include returns the path and the text of a file that is included by the one
	// with path from. nil where files cannot be included.
	Include func(name, from string) (path, text string, err error)
}

// A Template is a compiled template.
type Template struct {
	nodes    []node
	slots    int // of variables
	loops    int // nested in each other
	counters int // of cycles
	zone     *time.Location
}

// A Machine renders templates. One for each goroutine.
type Machine struct {
	out      []byte
	slots    []Value
	loops    []loop
	base     int // of the slots of the template that is rendered
	first    int // of its loops
	counters []int
	count    int // of its counters
	stack    []Row
	env      Env
	row      Row
	zone     *time.Location
	budget   value.Budget
	depth    int
}

// A loop is how far a for tag has come.
type loop struct{ index, length int }

// Render appends what a template prints for a row. It may be called while another
// one is rendered, by a function of a Member.
func (m *Machine) Render(t *Template, env Env, row Row, dst []byte) ([]byte, error) {
	if m.depth == 0 {
		m.budget = *value.NewBudget()
	}
	saved := *m
	m.depth++
	m.base, m.first, m.count = len(m.slots), len(m.loops), len(m.counters)
	for range t.slots {
		m.slots = append(m.slots, Value{})
	}
	for range t.loops {
		m.loops = append(m.loops, loop{})
	}
	for range t.counters {
		m.counters = append(m.counters, 0)
	}
	m.out, m.env, m.row, m.zone = dst, env, row, t.zone
	err := m.nodes(t.nodes)
	out := m.out
	clear(m.slots[m.base:])
	clear(m.stack[len(saved.stack):])
	m.slots, m.loops, m.counters, m.stack = m.slots[:m.base], m.loops[:m.first], m.counters[:m.count], m.stack[:len(saved.stack)]
	m.out, m.env, m.row, m.zone = saved.out, saved.env, saved.row, saved.zone
	m.base, m.first, m.count, m.depth = saved.base, saved.first, saved.count, saved.depth
	if err == nil {
		err = value.Fits(len(out) - len(dst))
	}
	return out, err
}

// A node is a piece of a compiled template.
type node interface {
	render(m *Machine) error
}

func (m *Machine) nodes(nodes []node) error {
	for _, n := range nodes {
		if err := n.render(m); err != nil {
			return err
		}
	}
	return nil
}

// capture renders nodes apart from the rest and returns what they print.
func (m *Machine) capture(nodes []node) (string, error) {
	start := len(m.out)
	err := m.nodes(nodes)
	text := string(m.out[start:])
	m.out = m.out[:start]
	return text, err
}

// steps takes steps of the budget, one more for each 64 bytes of text made.
func (m *Machine) steps(n, bytes int) error {
	if err := value.Fits(len(m.out) + bytes); err != nil {
		return err
	}
	return m.budget.Take(n+bytes/64, "template")
}
