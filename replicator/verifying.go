package replicator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"haystream/internal/backoff"
	"haystream/replicator/verify"
	"haystream/replicator/web"
)

// A verifier has indexes compared with their rows, one at a time. It lives as long as the
// process; a session does the work. What it is asked, what it has found and how far it has come is kept in
// a file, so that a later session or process goes on from there.
type verifier struct {
	file string
	log  zerolog.Logger

	mu    sync.Mutex
	logs  map[string]*verify.Log // the last one of each index, by alias
	queue []*verify.Log          // to be done; the first may be under way
	wake  chan struct{}
}

// What is kept in the file of an index.
type kept struct {
	verify.Report
	Place *verify.Place `json:"place,omitempty"`
}

func newVerifier(file string, log zerolog.Logger) *verifier {
	v := &verifier{file: file, log: log, logs: map[string]*verify.Log{}, wake: make(chan struct{}, 1)}
	var saved []kept
	if data, err := os.ReadFile(v.file); err != nil || json.Unmarshal(data, &saved) != nil {
		return v // it was never asked, or the file is of no use
	}
	for _, r := range saved {
		if r.Over() {
			v.logs[r.Index] = verify.Resumed(r.Report)
			continue
		}
		l := verify.NewLog(r.Index, r.Options)
		l.SetPlace(r.Place)
		v.logs[r.Index], v.queue = l, append(v.queue, l)
	}
	v.signal()
	return v
}

func (v *verifier) signal() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// errVerifying means that another verification is under way.
var errVerifying = errors.New("is being verified, and only one is at a time; ask again when that is done")

// ask has indexes verified, one after the other. It refuses while others are.
func (v *verifier) ask(aliases []string, o verify.Options) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.queue) > 0 {
		return fmt.Errorf("index %s %w", v.queue[0].Report().Index, errVerifying)
	}
	for _, alias := range aliases {
		l := verify.NewLog(alias, o)
		v.logs[alias], v.queue = l, append(v.queue, l)
	}
	v.save()
	v.signal()
	return nil
}

// next waits for something to verify, until ctx ends: then it is nil. It stays the first until it is over.
func (v *verifier) next(ctx context.Context) *verify.Log {
	for {
		v.mu.Lock()
		if len(v.queue) > 0 {
			l := v.queue[0]
			v.mu.Unlock()
			return l
		}
		v.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-v.wake:
		}
	}
}

// over ends the first verification.
func (v *verifier) over(l *verify.Log, err error) {
	l.Update(func(r *verify.Report) {
		r.State, r.Step, r.Reason, r.Ended = verify.Done, "", "", time.Now().UTC()
		if err != nil {
			r.State, r.Reason = verify.Failed, err.Error()
		}
	})
	l.SetPlace(nil)
	r := l.Report()
	found, left := r.Wrong()
	level, text := zerolog.InfoLevel, "the index was verified"
	if left > 0 {
		level = zerolog.WarnLevel
	}
	if err != nil {
		level, text = zerolog.WarnLevel, "the index could not be verified"
	}
	v.log.WithLevel(level).Str("index", r.Index).Int64("documents", r.Documents.Compared).Int64("missing", r.Documents.Missing).Int64("extra", r.Documents.Extra).
		Int64("different", r.Documents.Different).Int64("differences", found).Int64("left", left).Stringer("took", r.Ended.Sub(r.Began).Round(time.Millisecond)).Err(err).Msg(text)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.queue = v.queue[1:]
	v.save()
}

// keep saves how far the one that is under way has come.
func (v *verifier) keep() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.save()
}

// save keeps what is known for the next process. Without it a verification is only forgotten.
func (v *verifier) save() {
	all := []kept{}
	for _, alias := range slices.Sorted(maps.Keys(v.logs)) {
		if l := v.logs[alias]; !slices.Contains(v.queue, l) {
			all = append(all, kept{l.Report(), l.Place()})
		}
	}
	for _, l := range v.queue { // in its order
		all = append(all, kept{l.Report(), l.Place()})
	}
	data, err := json.Marshal(all)
	if err == nil {
		if err = os.MkdirAll(filepath.Dir(v.file), 0o700); err == nil {
			if err = os.WriteFile(v.file+".new", data, 0o600); err == nil {
				err = os.Rename(v.file+".new", v.file)
			}
		}
	}
	if err != nil {
		v.log.Warn().Err(err).Msg("what was verified cannot be kept on disk; a restart forgets it")
	}
}

// of is the last report of an index; nil where there is none.
func (v *verifier) of(alias string) *verify.Report {
	v.mu.Lock()
	defer v.mu.Unlock()
	l := v.logs[alias]
	if l == nil {
		return nil
	}
	r := l.Report()
	return &r
}

// Verify implements web.Operator.
func (p *process) Verify(_ context.Context, name string, o verify.Options) (verify.Report, error) {
	d, alias, err := p.index(name)
	if err != nil {
		return verify.Report{}, err
	}
	if why := d.cannotVerify(alias); why != nil {
		return verify.Report{}, why
	}
	if err := d.verifier.ask([]string{alias}, o); err != nil {
		return verify.Report{}, &web.RefusedError{Status: http.StatusConflict, Text: err.Error()}
	}
	return *d.verifier.of(alias), nil
}

// cannotVerify says why an index cannot be verified at all; nil where it can.
func (d *daemon) cannotVerify(alias string) error {
	if d.queue != nil {
		return &web.RefusedError{Status: http.StatusConflict, Text: fmt.Sprintf("index %s is of events, which are in no table: there is nothing to compare it with", alias)}
	}
	if d.viewer() == nil {
		return &web.RefusedError{Status: http.StatusNotImplemented, Text: fmt.Sprintf("the sink %s does not show its documents, so that they cannot be compared", d.cfg.Sink.Name())}
	}
	return d.status.cannot()
}

// Verified implements web.Operator.
func (p *process) Verified(_ context.Context, name string) (verify.Report, error) {
	d, alias, err := p.index(name)
	if err != nil {
		return verify.Report{}, err
	}
	r := d.verifier.of(alias)
	if r == nil {
		return verify.Report{}, &web.RefusedError{Status: http.StatusNotFound, Text: fmt.Sprintf("index %s was not verified yet", alias)}
	}
	return *r, nil
}

// verify does what the verifier is asked, until reading ends. With what is not done by then the next
// session goes on.
func (p *pipeline) verify(reading context.Context) error {
	for reading.Err() == nil {
		l := p.verifier.next(reading)
		if l == nil {
			break
		}
		if err := p.verifyIndex(reading, l); reading.Err() == nil {
			p.verifier.over(l, err)
		}
	}
	return nil
}

// verifyIndex compares an index, once all its documents are there, from where it was. It begins anew
// where another one takes the index's place meanwhile.
func (p *pipeline) verifyIndex(ctx context.Context, l *verify.Log) error {
	alias := l.Report().Index
	known := false
	for _, t := range p.fed {
		known = known || t.Alias == alias
	}
	if !known {
		return errors.New("nothing makes its documents now; see /status")
	}
	wait := backoff.Backoff{Min: 20 * time.Millisecond, Max: time.Second}
	for {
		t := p.complete(alias)
		if t == nil {
			l.Update(func(r *verify.Report) { r.State, r.Step = verify.Waiting, "waits until its documents are all there" })
			if err := wait.Wait(ctx, 0); err != nil {
				return err
			}
			continue
		}
		c, err := p.newComparison(t, l)
		if err != nil {
			return err
		}
		err = c.run(ctx)
		again := ctx.Err() == nil && t.Retired.Load()
		if err = errors.Join(err, c.close(ctx.Err() != nil)); !again {
			return err
		}
	}
}

// verifyRegularly has all indexes verified as verify.every says, until ctx ends.
func (d *daemon) verifyRegularly(ctx context.Context) error {
	zone, err := time.LoadLocation(d.cfg.TimeZone)
	if err != nil || d.cfg.Verify.Every == 0 || d.queue != nil || d.viewer() == nil {
		return nil //nolint:nilerr // no zone but a good one passes the check of the config
	}
	set := d.cfg.Set()
	aliases := set.Aliases()
	for backoff.Pause(ctx, time.Until(d.cfg.Verify.Next(time.Now().In(zone)))) == nil {
		if err := d.status.idle(); err != nil {
			d.log.Info().Str("reason", err.Error()).Msg("the indexes are not verified now")
			continue
		}
		if err := d.verifier.ask(aliases, verify.Options{}); err != nil {
			d.log.Info().Err(err).Msg("the indexes are not verified now")
		}
	}
	return nil
}
