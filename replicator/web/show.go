package web

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"haystream/internal/conf"
)

// Print is the status for people: the pipeline, then a line per index.
func (s Status) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if _, err := io.WriteString(w, s.lines()); err != nil {
		return fmt.Errorf("print status: %w", err)
	}
	return w.Flush()
}

// lines is the status with tabs between its columns.
func (s Status) lines() string {
	var b strings.Builder
	state := s.State
	if s.Reason != "" {
		state += ": " + s.Reason
	}
	sink := "answers"
	if !s.Sink.Healthy {
		sink = s.Sink.Reason
	}
	fmt.Fprintf(&b, "pipeline\t%s, %s\n", s.Name, state)
	fmt.Fprintf(&b, "version\t%s, up since %s\n", s.Version, s.Since.Format(time.RFC3339))
	fmt.Fprintf(&b, "source\t%s\n", known(s.Source.Kind, s.Source.Version, s.Source.Address))
	fmt.Fprintf(&b, "position\t%s\n", s.Source.Position)
	fmt.Fprintf(&b, "lag\t%.1f s, %s of log", s.Source.LagSeconds, size(s.Source.LagBytes))
	if s.Source.RetainedBytes >= 0 { // a server that keeps its log by its own rules keeps none for us
		fmt.Fprintf(&b, "; the server keeps %s for it", size(s.Source.RetainedBytes))
	}
	if c := s.Source.CatchUp; c != nil && c.LeftSeconds >= 0 {
		fmt.Fprintf(&b, "; made up for in about %s at %.0f documents a second", lasting(seconds(c.LeftSeconds)), c.DocumentsPerSecond)
	}
	b.WriteByte('\n')
	if s.Sink.Kind != "" {
		sink = known(s.Sink.Kind, s.Sink.Version, s.Sink.Address) + ", " + sink
	} else if s.Sink.Healthy {
		sink = known("", "", "")
	}
	fmt.Fprintf(&b, "sink\t%s\n", sink)
	if e := s.Events; e != nil {
		fmt.Fprintf(&b, "events\t%s; %d wait, %s of %s", e.State, e.Waiting, size(e.QueueBytes), size(e.MaxQueueBytes))
		if e.Waiting > 0 {
			fmt.Fprintf(&b, ", the oldest for %.1f s", e.OldestSeconds)
		}
		fmt.Fprintf(&b, "; %d accepted", e.Accepted)
		for _, reason := range slices.Sorted(maps.Keys(e.Refused)) {
			if n := e.Refused[reason]; n > 0 {
				fmt.Fprintf(&b, ", %d refused (%s)", n, reason)
			}
		}
		if e.Room != "" {
			fmt.Fprintf(&b, "\nroom\t%s", e.Room)
		}
		b.WriteByte('\n')
	}
	if len(s.Indexes) > 0 {
		b.WriteString("\nINDEX\tPHYSICAL INDEX\tWRITTEN\tDELETED\tDEAD LETTERS\tSNAPSHOT\n")
	}
	for _, i := range s.Indexes {
		physical := i.Physical
		if i.Building != "" {
			physical += " (building " + i.Building + ")"
		}
		fmt.Fprintf(&b, "%s\t%s\t%d\t%d\t%d\t%s\n", i.Alias, physical, i.Written, i.Deleted, i.DeadLetters, i.Snapshot)
	}
	return b.String()
}

// String is how far a snapshot is, for people.
func (s SnapshotStatus) String() string {
	if s.State == "done" {
		return fmt.Sprintf("done, %d rows", s.RowsDone)
	}
	text := s.State + ", " + s.Rows()
	if s.ETASeconds >= 0 {
		text += ", " + (time.Duration(s.ETASeconds) * time.Second).String() + " left"
	}
	return text
}

// known is what a server is, once it was asked.
func known(kind, version, address string) string {
	if kind == "" {
		return "not asked yet"
	}
	return fmt.Sprintf("%s %s at %s", kind, version, address)
}

// Estimated reports whether it is known about how many rows there will be: a database has no estimate for a table that
// was never analyzed, and an old one may be too low.
func (s SnapshotStatus) Estimated() bool { return s.RowsEstimated > s.RowsDone }

// Rows is how many are done, and of about how many where that is known.
func (s SnapshotStatus) Rows() string {
	if s.Estimated() {
		return fmt.Sprintf("%d of about %d rows", s.RowsDone, s.RowsEstimated)
	}
	return fmt.Sprintf("%d rows", s.RowsDone)
}

// size is a number of bytes for people; negative is not known.
func size(n int64) string {
	if n < 0 {
		return "an unknown size"
	}
	return conf.Bytes(n).String()
}
