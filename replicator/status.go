package replicator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"haystream/mapping/rowstore"
	"haystream/replicator/builds"
	"haystream/replicator/config"
	"haystream/replicator/inspect"
	"haystream/replicator/web"
	"haystream/sinks"
	"haystream/sources"
)

// status gathers what the sessions do, for /status, /readyz, the metrics and
// the progress bar.
type status struct {
	cfg     *config.Config
	version string
	sink    sinks.Writer
	started time.Time
	gauges  gauges

	mu       sync.Mutex
	state    string
	reason   string
	mend     bool              // the reason is one that a person must see to
	trouble  string            // of the checkpoint step; empty while it goes well
	wrong    []string          // what a person must mend in the sink
	held     builds.Held       // indexes that are held up
	unread   map[string]string // tables that cannot be read, and why
	pipeline *pipeline
	targets  []*builds.Target
	pf       *inspect.Inspection
	lags     sources.Lag
	dead     map[string]int64 // dead letters that the sink holds, by physical index
	counted  time.Time        // when it was asked
	since    time.Time        // of the session
	rowsAt   int64            // gauges.rows at since
}

func newStatus(cfg *config.Config, version string, sink sinks.Writer) *status {
	return &status{
		cfg: cfg, version: version, sink: sink, started: time.Now(), state: "starting",
		lags: sources.Lag{Bytes: -1, Retained: -1, SafeLeft: -1},
	}
}

// running is called when a session's pipeline starts.
func (s *status) running(p *pipeline, targets []*builds.Target, pf *inspect.Inspection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.reason, s.wrong, s.mend, s.unread = "running", "", nil, false, nil
	s.pipeline, s.targets, s.pf = p, targets, pf
	s.since, s.rowsAt = time.Now(), s.gauges.rows.Load()
}

// waiting is called when something keeps a session from running.
func (s *status) waiting(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.reason = "waiting", why.Error()
	s.mend = forPerson(why)
}

// forPerson reports whether waiting alone does not mend something.
func forPerson(err error) bool {
	var refused *inspect.Refusal
	return errors.As(err, &refused) || errors.Is(err, sources.ErrConfig) || errors.Is(err, sinks.ErrForeign) ||
		errors.Is(err, rowstore.ErrFull) || errors.Is(err, rowstore.ErrReadOnly)
}

// stopped is called when the daemon ends for a reason that a person must mend.
func (s *status) stopped(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.reason = "stopped", why.Error()
}

// checkpointed notes how the checkpoint step went.
func (s *status) checkpointed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = ""
	if err != nil {
		s.gauges.unsaved.Add(1)
		s.trouble = err.Error()
	}
}

// complained notes what a person must mend in the sink; nil where nothing.
func (s *status) complained(wrong []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong = wrong
}

func (s *status) lag(l sources.Lag) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lags = l
}

func (s *status) lagUnknown() { s.lag(sources.Lag{Bytes: -1, Retained: -1, SafeLeft: -1}) }

// acked is the last position that the checkpoint holds.
func (s *status) acked() (position sources.Position) {
	s.mu.Lock()
	p := s.pipeline
	s.mu.Unlock()
	if p != nil {
		p.state.View(func(cp *builds.Checkpoint) { position = cp.Position })
	}
	return position
}

// Status is the state of everything at this moment.
func (s *status) Status() web.Status {
	position := string(s.acked())
	s.mu.Lock()
	defer s.mu.Unlock()
	out := web.Status{Name: s.cfg.Name, Version: s.version, State: s.state, Reason: s.reason, Since: s.started, Indexes: []web.IndexStatus{}}
	out.CheckpointFailures, out.ValuesReplaced, out.SnapshotRows = s.gauges.unsaved.Load(), s.gauges.replaced.Load(), s.gauges.rows.Load()
	out.Source = web.SourceStatus{
		Position: position, LagSeconds: s.gauges.lag(time.Now()).Seconds(),
		LagBytes: s.lags.Bytes, RetainedBytes: s.lags.Retained, SafeBytes: s.lags.SafeLeft,
		Transactions: s.gauges.transactions.Load(), Changes: s.gauges.changes.Load(),
	}
	out.Sink.Healthy = true
	if err := s.sink.Health(); err != nil {
		out.Sink.Healthy, out.Sink.Reason = false, err.Error()
	}
	if s.pf == nil {
		return out
	}
	out.Source.Kind, out.Source.Version, out.Source.Address = s.pf.Source.Kind, s.pf.Source.Version, s.pf.Source.Address
	out.Sink.Kind, out.Sink.Version, out.Sink.Address = s.pf.Sink.Kind, s.pf.Sink.Version, s.pf.Sink.Address
	out.Indexes = s.indexes()
	out.Store = s.pipeline.joins.Status()
	return out
}

// indexes is one line for each alias: its newest target, with the counters of all.
func (s *status) indexes() []web.IndexStatus {
	out := []web.IndexStatus{}
	at := map[string]int{}
	rate := s.rate()
	s.pipeline.state.View(func(*builds.Checkpoint) {
		for _, t := range s.targets {
			i, ok := at[t.Alias]
			if !ok {
				i = len(out)
				at[t.Alias] = i
				out = append(out, web.IndexStatus{Name: t.Definition.Names[0], Alias: t.Alias})
			}
			line := &out[i]
			line.Written += t.Written.Load()
			line.Deleted += t.Deleted.Load()
			line.Superseded += t.Superseded.Load()
			line.Dropped += t.Dropped.Load()
			line.DeadLetters += s.dead[t.Physical]
			for _, r := range t.Definition.Renderers {
				line.Nulled += r.Nulled.Load()
			}
			for _, r := range t.Definition.Joined {
				line.Nulled += r.Nulled.Load()
			}
			if t.Serving {
				line.Physical, line.Building = t.Physical, ""
			}
			if !t.Serving || t.Waiting {
				line.Building = t.Physical
			}
			line.Snapshot = snapshotStatus(t, rate)
		}
	})
	return out
}

// rate is how many rows a second the session's snapshots have read.
func (s *status) rate() float64 {
	if took := time.Since(s.since).Seconds(); took > 0 {
		return float64(s.gauges.rows.Load()-s.rowsAt) / took
	}
	return 0
}

func snapshotStatus(t *builds.Target, rate float64) web.SnapshotStatus {
	out := web.SnapshotStatus{State: "done", ETASeconds: 0}
	estimates := map[string]int64{}
	for _, r := range t.Definition.Renderers {
		estimates[r.Table.String()] = r.Table.EstimatedRows
	}
	for name, p := range t.Tables() {
		out.RowsDone += p.Rows
		if p.Done {
			out.RowsEstimated += p.Rows
			continue
		}
		out.RowsEstimated += max(p.Rows, estimates[name])
		out.State = "running"
	}
	if out.State == "running" {
		out.RowsPerSecond, out.ETASeconds = rate, -1
		if left := out.RowsEstimated - out.RowsDone; rate > 0 && left >= 0 {
			out.ETASeconds = float64(left) / rate
		}
	}
	return out
}

// maxLag is how far behind a ready daemon may be.
const maxLag = time.Minute

// NotReady lists why the daemon is not ready; empty when it is.
func (s *status) NotReady() []string {
	st := s.Status()
	var why []string
	if st.State != "running" {
		why = append(why, cmp.Or(st.Reason, st.State))
	}
	s.mu.Lock()
	trouble, people := s.trouble, append(s.forPeople(), s.wrong...)
	s.mu.Unlock()
	why = append(why, people...)
	if trouble != "" {
		why = append(why, trouble)
	}
	why = append(why, s.unanswered()...)
	if !st.Sink.Healthy {
		why = append(why, "sink: "+st.Sink.Reason)
	}
	for _, index := range st.Indexes {
		if index.Snapshot.State != "done" && (index.Building == "" || index.Physical == "") {
			why = append(why, fmt.Sprintf("index %s: %d of about %d rows have been read", index.Alias, index.Snapshot.RowsDone, index.Snapshot.RowsEstimated))
		}
	}
	if lag := time.Duration(st.Source.LagSeconds * float64(time.Second)); lag > maxLag {
		why = append(why, fmt.Sprintf("%s behind the source", lag.Round(time.Second)))
	}
	return why
}

// What a ready daemon's servers may leave unanswered.
const (
	maxSilence = 8 * time.Second // by the source's stream
	maxSaving  = 5 * time.Second // by the sink, of a checkpoint
)

// unanswered says which server has left the daemon without an answer for long:
// a connection may be dead without being closed.
func (s *status) unanswered() (why []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pipeline == nil || s.state != "running" {
		return nil
	}
	if d := s.pipeline.source.Silence(); d > maxSilence {
		why = append(why, fmt.Sprintf("source: the server has said nothing for %s", d.Round(time.Second)))
	}
	if d := s.pipeline.state.SavingFor(time.Now()); d > maxSaving {
		why = append(why, fmt.Sprintf("sink: the checkpoint has been on its way for %s", d.Round(time.Second)))
	}
	return why
}

// countDeadLetters asks the sink every few seconds; called by the checkpoint
// step more often than that.
func (s *status) countDeadLetters(ctx context.Context) {
	s.mu.Lock()
	due := time.Since(s.counted) > 2*time.Second
	s.mu.Unlock()
	if !due {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	dead, err := s.sink.DeadLetters(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counted = time.Now()
	if err == nil {
		s.dead = dead
	}
}

// Unhealthy says why the process does not do its work; empty while it does.
// Waiting for a server that is down is work. What a person must mend is not,
// though the rest goes on.
func (s *status) Unhealthy() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == "stopped" || s.state == "waiting" && s.mend {
		return s.reason
	}
	return strings.Join(s.forPeople(), "\n")
}

// holdToo notes that more indexes are held up.
func (s *status) holdToo(why builds.Held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := maps.Clone(s.held)
	if all == nil {
		all = builds.Held{}
	}
	maps.Copy(all, why)
	s.held = all
}

// unreadable notes why a table cannot be read, or with nil that it can again, and
// reports whether the reason is new.
func (s *status) unreadable(t *sources.Table, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.unread, t.String())
		return false
	}
	text := fmt.Sprintf("table %s: %v", t, err)
	if s.unread[t.String()] == text {
		return false
	}
	if s.unread == nil {
		s.unread = map[string]string{}
	}
	s.unread[t.String()] = text
	return true
}

// hold notes which indexes are held up.
func (s *status) hold(why builds.Held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = why
}

// holds reports whether an index is held up.
func (s *status) holds(alias string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[alias] != ""
}

// forPeople lists what a person must mend while the rest goes on. The lock is held.
func (s *status) forPeople() (all []string) {
	for _, alias := range slices.Sorted(maps.Keys(s.held)) {
		all = append(all, "index "+alias+" is held up: "+s.held[alias])
	}
	for _, table := range slices.Sorted(maps.Keys(s.unread)) {
		all = append(all, s.unread[table])
	}
	return all
}
