// Package preflight holds the lines that `haystream check` prints and that
// stop `haystream run` before it touches anything.
package preflight

import "strings"

// Level of a Finding.
type Level string

// Levels, in rising order.
const (
	OK      Level = "ok"
	Warning Level = "warning"
	Error   Level = "error"
)

// A Finding is one thing that was looked at.
type Finding struct {
	Level   Level
	Subject string // what was looked at: "wal_level", "table public.notes", "index notes"
	Path    string // of the setting that it is about, as in the config; empty for none
	Text    string // what was found
	Remedy  string // the statement or setting that mends it; empty where nothing is to do

	// Waits means that documents wait, or readers see something else, for as long as
	// it lasts: it keeps a daemon from its first start, and does not stop one that has run.
	Waits bool
}

// String is the finding on one line.
func (f Finding) String() string {
	return string(f.Level) + ": " + OneLine(f.Subject) + ": " + f.Message()
}

// Message is what was found, and what mends it, on one line.
func (f Finding) Message() string {
	s := OneLine(f.Text)
	if f.Remedy != "" {
		s += "; to mend it: " + strings.Join(strings.Fields(f.Remedy), " ")
	}
	return s
}

// OneLine is a text without its line breaks: a message of a server, or a table's name, may hold some.
func OneLine(text string) string {
	if !strings.ContainsAny(text, "\r\n") {
		return text
	}
	return strings.Join(strings.Fields(text), " ")
}

// Errors returns the findings that are errors.
func Errors(findings []Finding) []Finding {
	var errs []Finding
	for _, f := range findings {
		if f.Level == Error {
			errs = append(errs, f)
		}
	}
	return errs
}
