// Package ndjson appends the lines of Elasticsearch's bulk API to a file or to
// standard output, for those who have no server, or have another use for them.
//
// The guarantee: a batch is done when its lines are in the file and the file is
// on the disk (standard output and pipes: when they are written). The file
// holds whole actions only, after a crash and a full disk as well. Lines may
// come twice after a restart. Each names its version, so that whoever applies
// them by the bulk API's rules never overwrites a document by an older state;
// the file itself keeps all that was written.
//
// Physical indexes, aliases, checkpoints and dead letters are kept in the state
// directory. Write owns one goroutine, which has ended when it returns.
package ndjson

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/rs/zerolog"

	"haystream/internal/preflight"
	"haystream/internal/quiet"
	"haystream/sinks"
	"haystream/sinks/deadletters"
)

var _ sinks.Sink = (*Sink)(nil)

// A Sink appends to one file.
type Sink struct {
	cfg     Config
	opts    sinks.Options
	log     zerolog.Logger
	open    *deadletters.Open
	letters letterFile
	trouble atomic.Pointer[error]
	told    quiet.Log // of trouble
}

// New makes a Sink. It opens nothing yet.
func New(cfg Config, opts sinks.Options, log zerolog.Logger) (*Sink, error) {
	if cfg.Path == "" {
		return nil, errors.New("sink.ndjson: there is no path")
	}
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = 32 << 20
	}
	return &Sink{
		cfg: cfg, opts: opts, log: log, open: deadletters.NewOpen(opts.MaxDeadLetters),
		letters: letterFile{path: filepath.Join(opts.StateDir, "dead-letters.ndjson")},
	}, nil
}

// Info implements sinks.Sink. The lines hold any type of field.
func (s *Sink) Info(context.Context) (sinks.Info, error) {
	address := s.cfg.Path
	if address == "-" {
		address = "standard output"
	}
	return sinks.Info{Kind: "ndjson", Address: address, Rules: s.cfg.Rules()}, nil
}

// Check implements sinks.Sink.
func (s *Sink) Check(ctx context.Context, indexes []sinks.IndexSpec) ([]preflight.Finding, error) {
	findings := []preflight.Finding{s.checkPath()}
	for i := range indexes {
		alias := indexes[i].Alias
		f := preflight.Finding{Level: preflight.OK, Subject: "index " + alias}
		index, err := s.Index(ctx, alias)
		switch {
		case err != nil:
			f.Level, f.Text = preflight.Error, err.Error()
		case index == nil:
			f.Text = "does not exist yet; it will be created"
		default:
			f.Text = "is " + index.Physical
		}
		findings = append(findings, f)
	}
	return findings, nil
}

// checkPath looks whether the file can be written, and leaves it as it is.
func (s *Sink) checkPath() preflight.Finding {
	f := preflight.Finding{Level: preflight.OK, Subject: "ndjson", Text: s.cfg.Path}
	if s.cfg.Path == "-" {
		f.Text = "standard output"
		return f
	}
	file, err := os.OpenFile(s.cfg.Path, os.O_WRONLY, 0)
	switch {
	case err == nil:
		err = file.Close()
	case errors.Is(err, fs.ErrNotExist):
		_, err = os.Stat(filepath.Dir(s.cfg.Path))
	}
	if err != nil {
		f.Level, f.Text, f.Remedy = preflight.Error, err.Error(), "name a file in sink.ndjson.path that can be written"
	}
	return f
}

// Health is nil while lines can be written; else the reason why they wait.
func (s *Sink) Health() error {
	if p := s.trouble.Load(); p != nil {
		return *p
	}
	return nil
}

// waiting says why lines wait, and logs it when it is news.
func (s *Sink) waiting(err error) {
	s.trouble.Store(&err)
	if lasted, tell := s.told.Failed(err.Error()); tell {
		quiet.For(s.log.Warn().Err(err), lasted).Msg(sinks.NotTaking)
	}
}

func (s *Sink) writes() {
	if s.trouble.Swap(nil) == nil {
		return
	}
	if lasted, failed := s.told.Over(); failed {
		s.log.Info().Stringer("after", lasted).Msg("the sink takes documents again")
	}
}

// Close implements sinks.Sink. Write has closed what it opened.
func (s *Sink) Close() {}

func (s *Sink) tooMany() error {
	return fmt.Errorf("%w: more than limits.max_dead_letters (%d) are open; mend the rows or definitions of the documents listed in %s, or raise the limit",
		sinks.ErrTooManyDeadLetters, s.opts.MaxDeadLetters, s.letters.path)
}
