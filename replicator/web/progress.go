package web

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
)

// Progress shows how far snapshots are: a bar on a terminal, a log line every
// ten seconds otherwise.
func Progress(ctx context.Context, d Daemon, out io.Writer, log zerolog.Logger) error {
	file, ok := out.(*os.File)
	terminal := ok && isatty.IsTerminal(file.Fd())
	every := 10 * time.Second
	if terminal {
		every = 500 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	drawn := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		done, estimated, rate, eta, running := total(d.Status())
		switch {
		case terminal && running:
			fmt.Fprintf(out, "\r\x1b[K%s", bar(done, estimated, rate, eta))
			drawn = true
		case terminal && drawn:
			fmt.Fprint(out, "\r\x1b[K")
			drawn = false
		case running:
			log.Info().Int64("rows_done", done).Int64("rows_estimated", estimated).
				Float64("rows_per_second", float64(int64(rate))).Str("eta", eta).Msg(Loading.Log())
		}
	}
}

// total adds up the snapshots that run.
func total(st Status) (done, estimated int64, rate float64, eta string, running bool) {
	for _, index := range st.Indexes {
		if index.Snapshot.State != "running" {
			continue
		}
		running = true
		done += index.Snapshot.RowsDone
		estimated += index.Snapshot.RowsEstimated
		rate += index.Snapshot.RowsPerSecond
	}
	eta = "unknown"
	if rate > 0 && estimated > done {
		eta = (time.Duration(float64(estimated-done)/rate) * time.Second).String()
	}
	return done, estimated, rate, eta, running
}

// bar draws one line.
func bar(done, estimated int64, rate float64, eta string) string {
	const width = 30
	if estimated <= done { // a database has no estimate for a table that was never analyzed
		return fmt.Sprintf("snapshot  %d rows  %.0f rows/s", done, rate)
	}
	part := float64(done) / float64(estimated)
	filled := int(part * width)
	return fmt.Sprintf("snapshot [%s%s] %3.0f%%  %d rows  %.0f rows/s  %s left",
		strings.Repeat("=", filled), strings.Repeat(" ", width-filled), part*100, done, rate, eta)
}
