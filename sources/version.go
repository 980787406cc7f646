package sources

import "time"

// A Versioner numbers the changes of a stream: the first change of a
// transaction gets max(previous + 1, commit time in microseconds), each
// further one the next number. The numbers depend only on the log and on the
// Version of the checkpoint that the stream began from, so a replay numbers
// the same, and a large transaction may be cut into batches anywhere.
type Versioner struct {
	last int64
	next int64
}

// NewVersioner continues after a checkpoint's Version.
func NewVersioner(last int64) Versioner { return Versioner{last: last} }

// Begin starts a transaction with its commit time.
func (v *Versioner) Begin(commit time.Time) { v.next = max(v.last+1, commit.UnixMicro()) }

// Next returns the Version of the transaction's next change in the log. Call
// it for each change of a table in use, whether or not a definition wants the row.
func (v *Versioner) Next() int64 {
	v.last = v.next
	v.next++
	return v.last
}

// Last is the last Version given out.
func (v *Versioner) Last() int64 { return v.last }
