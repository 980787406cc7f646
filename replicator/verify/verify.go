// Package verify says what a comparison of an index with its rows has found, and has what it
// needs beside both: the fields in which two documents differ, and a set of ids on disk. It
// owns no goroutine but those of its engine on disk, which end with Close.
package verify

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Kinds of differences.
const (
	Missing   = "missing"   // a row, and no document or stored row
	Extra     = "extra"     // a document or stored row, and no row
	Different = "different" // both, and they differ
)

// States of a report.
const (
	Waiting = "waiting" // to be begun
	Running = "running"
	Done    = "done"
	Failed  = "failed"
)

// Options say how an index is verified.
type Options struct {
	Repair bool `json:"repair"`
	Rate   int  `json:"rate,omitempty"` // rows a second; 0: as fast as it goes

	// Sample is how many percent of the rows are compared, the same ones each time. 0: all.
	Sample float64 `json:"sample,omitempty"`
}

// ParsePercent parses a share like 5% or 0.5, which is more than 0 and 100 at most.
func ParsePercent(text string) (float64, error) {
	p, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || !(p > 0 && p <= 100) {
		return 0, fmt.Errorf("sample is %q; say how many percent of the rows, such as 5%%", text)
	}
	return p, nil
}

// Picks reports whether a row is in the sample, by its key.
func (o *Options) Picks(key []byte) bool {
	if !o.Samples() {
		return true
	}
	sum := sha256.Sum256(key)
	return float64(binary.BigEndian.Uint64(sum[:])) < o.Sample/100*(1<<64)
}

// Samples reports whether only some rows are compared.
func (o *Options) Samples() bool { return o.Sample > 0 && o.Sample < 100 }

// Counts are of documents, or of the rows of a stored table.
type Counts struct {
	Compared  int64 `json:"compared"`
	Missing   int64 `json:"missing"`
	Extra     int64 `json:"extra"`
	Different int64 `json:"different"`
	Repaired  int64 `json:"repaired"`
}

// Wrong is how many differ.
func (c *Counts) Wrong() int64 { return c.Missing + c.Extra + c.Different }

// A Difference is one document, or one stored row, that is not what its row says.
type Difference struct {
	Table    string   `json:"table,omitempty"` // of a stored row: the table; else of a document
	Kind     string   `json:"kind"`
	ID       string   `json:"id"`
	Routing  string   `json:"routing,omitempty"`
	Physical string   `json:"physical_index,omitempty"`
	Version  int64    `json:"version,omitempty"` // of the document that is there
	Fields   []string `json:"fields,omitempty"`  // that differ; _routing and _version are such, too
	Repaired bool     `json:"repaired,omitempty"`
}

// A Report is what is known of an index's last verification, or of the one under way.
type Report struct {
	Options
	Index    string    `json:"index"` // the alias
	Physical string    `json:"physical_index,omitempty"`
	State    string    `json:"state"`
	Step     string    `json:"step,omitempty"`   // what is being done
	Reason   string    `json:"reason,omitempty"` // why it has failed, or what it waits for
	Began    time.Time `json:"began"`
	Ended    time.Time `json:"ended,omitzero"`

	Documents Counts            `json:"documents"`
	Stored    map[string]Counts `json:"stored_tables,omitempty"` // of the row store, by table

	Unsettled int64 `json:"unsettled"` // documents that changed each time they were looked at
	Refused   int64 `json:"refused"`   // documents that differ since they are dead letters

	Notes       []string     `json:"notes,omitempty"` // what is not compared, and why
	Differences []Difference `json:"differences"`     // the first ones
}

// Wrong is how many differences were found, and how many of them are left.
func (r *Report) Wrong() (found, left int64) {
	found, repaired := r.Documents.Wrong(), r.Documents.Repaired
	for _, c := range r.Stored {
		found, repaired = found+c.Wrong(), repaired+c.Repaired
	}
	return found, found - repaired
}

// Over reports whether it is done or has failed.
func (r *Report) Over() bool { return r.State == Done || r.State == Failed }

// mostListed is how many differences a report lists.
const mostListed = 1000

// A Log is a Report that is being written. For use from any goroutine.
type Log struct {
	mu    sync.Mutex
	r     Report
	place *Place
}

// A Place is how far a comparison has come, and what it had found by then.
type Place struct {
	Report Report   `json:"report"`
	Part   string   `json:"part"`            // what was being compared; what comes before it is done
	After  []string `json:"after,omitempty"` // the last key of it that is done; nil: none is
}

// NewLog begins a report.
func NewLog(index string, o Options) *Log {
	return &Log{r: Report{Options: o, Index: index, State: Waiting, Began: time.Now().UTC(), Differences: []Difference{}}}
}

// Resumed goes on with a report that was saved.
func Resumed(r Report) *Log { return &Log{r: r} }

// Reach notes how far it has come.
func (l *Log) Reach(part string, after []string) {
	r := l.Report()
	l.SetPlace(&Place{Report: r, Part: part, After: after})
}

// SetPlace has it go on at a place, or, at nil, at its beginning.
func (l *Log) SetPlace(p *Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.place = p
}

// Place is how far it had come when that was noted last; nil where it is to be begun.
func (l *Log) Place() *Place {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.place
}

// Report is how it stands.
func (l *Log) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.clone()
}

func (r Report) clone() Report {
	r.Differences, r.Notes = slices.Clone(r.Differences), slices.Clone(r.Notes)
	if r.Stored != nil {
		stored := make(map[string]Counts, len(r.Stored))
		for name, c := range r.Stored {
			stored[name] = c
		}
		r.Stored = stored
	}
	return r
}

// GoOn has it stand as it did at its place.
func (l *Log) GoOn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.r = l.place.Report.clone()
}

// Update changes it.
func (l *Log) Update(change func(*Report)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.r)
}

// count changes the counts of documents, or of a stored table.
func (r *Report) count(table string, change func(*Counts)) {
	if table == "" {
		change(&r.Documents)
		return
	}
	if r.Stored == nil {
		r.Stored = map[string]Counts{}
	}
	c := r.Stored[table]
	change(&c)
	r.Stored[table] = c
}

// Compared counts documents, or rows of a stored table, that were compared.
func (l *Log) Compared(table string, n int) {
	l.Update(func(r *Report) { r.count(table, func(c *Counts) { c.Compared += int64(n) }) })
}

// Found adds a difference.
func (l *Log) Found(d Difference) {
	l.Update(func(r *Report) {
		r.count(d.Table, func(c *Counts) {
			switch d.Kind {
			case Missing:
				c.Missing++
			case Extra:
				c.Extra++
			default:
				c.Different++
			}
		})
		if len(r.Differences) < mostListed {
			r.Differences = append(r.Differences, d)
		}
	})
}

// Repaired notes that a difference that was found is none any more.
func (l *Log) Repaired(d Difference) {
	l.Update(func(r *Report) {
		r.count(d.Table, func(c *Counts) { c.Repaired++ })
		for i := range r.Differences {
			if o := &r.Differences[i]; o.Table == d.Table && o.ID == d.ID && o.Kind == d.Kind && o.Routing == d.Routing && !o.Repaired {
				o.Repaired = true
				break
			}
		}
	})
}
