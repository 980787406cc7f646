package replicator

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"haystream/mapping"
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
	why      web.Trouble       // of a state other than running
	looked   bool              // whether the pipeline is paused was read in the checkpoint
	standby  string            // which other daemon has the lease; empty while none is known to
	trouble  string            // of the checkpoint step; empty while it goes well
	unqueue  string            // why messages cannot be put into the event queue; empty while they can
	wrong    []string          // what a person must mend in the sink
	held     builds.Held       // indexes that are held up
	unread   map[string]string // tables that cannot be read, and why
	pipeline *pipeline
	targets  []*builds.Target
	pf       *inspect.Inspection
	lags     sources.Lag
	behind   catchUp
	letters  *letters
	verifier *verifier
	former   map[string]tally // what sessions that are over have done, by alias
	since    time.Time        // of the session
	before   map[string]int64 // rows that each physical index had been made of at since
}

func newStatus(cfg *config.Config, version string, sink sinks.Writer) *status {
	return &status{
		cfg: cfg, version: version, sink: sink, started: time.Now(), state: "starting", why: web.Trouble{Reason: web.Starting}, letters: &letters{},
		lags: sources.Lag{Bytes: -1, Retained: -1, SafeLeft: -1}, former: map[string]tally{},
	}
}

// A tally is what was done for an index.
type tally struct{ written, deleted, superseded, dropped, expired, nulled int64 }

// tallied adds what a session has done for its targets to what was done before, by alias.
func tallied(before map[string]tally, targets []*builds.Target) map[string]tally {
	all, counted := maps.Clone(before), map[*mapping.Index]bool{}
	for _, t := range targets {
		n := all[t.Alias]
		for _, part := range t.All() {
			n.written += part.Written.Load()
			n.deleted += part.Deleted.Load()
			n.superseded += part.Superseded.Load()
			n.dropped += part.Dropped.Load()
		}
		if !counted[t.Definition] { // two targets may have one
			counted[t.Definition] = true
			n.expired += t.Definition.Expired()
			n.nulled += t.Definition.Nulled()
		}
		all[t.Alias] = n
	}
	return all
}

// running is called when a session's pipeline starts.
func (s *status) running(p *pipeline, targets []*builds.Target, pf *inspect.Inspection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.why, s.wrong, s.unread, s.standby, s.unqueue = "running", web.Trouble{}, nil, nil, "", ""
	s.former = tallied(s.former, s.targets) // of the session before, which is over: its targets count no more
	s.pipeline, s.targets, s.pf = p, targets, pf
	s.since, s.before = time.Now(), map[string]int64{}
	s.pipeline.state.View(func(*builds.Checkpoint) {
		for _, t := range targets {
			s.before[t.Physical] = s.snapshot(t).RowsDone
		}
	})
}

// waiting is called when something keeps a session from running.
func (s *status) waiting(reason web.Reason, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.why = "waiting", web.Trouble{Reason: reason, Text: why.Error()}
}

// paused notes since when the pipeline is paused; zero: it is not.
func (s *status) paused(since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !since.IsZero():
		s.state, s.why = "paused", web.Trouble{Reason: web.Paused, Text: web.PausedReason(since)}
	case s.state == "paused":
		s.state, s.why = "starting", web.Trouble{Reason: web.Starting}
	}
}

// noted is called when the checkpoint was read: a pause is known by now.
func (s *status) noted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looked = true
}

// mayBePaused reports whether the pipeline is paused, or may be.
func (s *status) mayBePaused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == "paused" || s.state == "starting" || s.state == "waiting" && !s.looked
}

// now is the state.
func (s *status) now() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// cannot refuses what is asked of a daemon that cannot do it now; nil where it can.
func (s *status) cannot() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state == "paused":
		return nil
	case s.standby != "":
		return unavailable("this daemon stands by, ask the one that runs: " + s.standby)
	case s.state == "waiting":
		return unavailable("the daemon waits, ask again when it runs: " + s.why.Text)
	}
	return nil
}

// idle refuses what has to be delivered while nothing is; nil while a session runs.
func (s *status) idle() error {
	if err := s.cannot(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != "running" {
		return unavailable(cmp.Or(s.why.Text, "the daemon is "+s.state))
	}
	return nil
}

// unavailable refuses what may go well later.
func unavailable(why string) error {
	return &web.RefusedError{Status: http.StatusServiceUnavailable, Text: why}
}

// standingBy notes that another daemon has the lease.
func (s *status) standingBy(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.standby = why
}

// target is the session's physical index of a name, or what it belongs to and the one of a period, and its pipeline; nil
// while none runs, or where it is not fed.
func (s *status) target(physical string) (*pipeline, *builds.Target, *sinks.Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != "running" {
		return nil, nil, nil
	}
	for _, t := range s.targets {
		if t.Retired.Load() {
			continue
		}
		for _, part := range t.All() {
			if part.Physical == physical && (part.Period == "" || part.Made.Load()) {
				return s.pipeline, t, part
			}
		}
	}
	return nil, nil, nil
}

// standsBy says which other daemon has the lease; empty while none is known to.
func (s *status) standsBy() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.standby
}

// stopped is called when the daemon ends for a reason that a person must mend.
func (s *status) stopped(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.why = "stopped", web.Trouble{Reason: web.Stopped, Text: why.Error()}
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

// unqueued notes why messages cannot be put into the event queue; nil: they can.
func (s *status) unqueued(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unqueue = ""
	if why != nil {
		s.unqueue = why.Error()
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

// catchUp notes how far behind the daemon is, and returns how it has caught up once it has.
func (s *status) catchUp(now time.Time) *web.CatchUpStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := lateness{at: now, lag: s.late()}
	for _, t := range s.targets {
		for _, part := range t.All() {
			at.documents += part.Written.Load() + part.Deleted.Load() + part.Superseded.Load()
		}
	}
	if !s.behind.note(at) {
		return nil
	}
	made := s.behind.status()
	s.behind = catchUp{}
	return made
}

// late is how old the oldest change may be that a document lacks. The lock is held.
func (s *status) late() time.Duration {
	lag := s.gauges.lag()
	if s.pipeline != nil {
		lag = max(lag, s.pipeline.joins.Lag())
	}
	return lag
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
	out := web.Status{Name: s.cfg.Name, Version: s.version, State: s.state, Reason: s.why.Text, Since: s.started, Indexes: []web.IndexStatus{}}
	out.CheckpointFailures, out.ValuesReplaced, out.SnapshotRows = s.gauges.unsaved.Load(), s.gauges.replaced.Load(), s.gauges.rows.Load()
	out.Source = web.SourceStatus{
		Position: position, LagSeconds: s.late().Seconds(),
		LagBytes: s.lags.Bytes, RetainedBytes: s.lags.Retained, SafeBytes: s.lags.SafeLeft,
		Transactions: s.gauges.transactions.Load(), Changes: s.gauges.changes.Load(), CatchUp: s.behind.status(),
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
	_, out.Refused = s.letters.found()
	return out
}

// indexes is one line for each alias: its newest target, with what was done for all since the process started.
func (s *status) indexes() []web.IndexStatus {
	out := []web.IndexStatus{}
	at, done := map[string]int{}, tallied(s.former, s.targets)
	open, _ := s.letters.found()
	s.pipeline.state.View(func(*builds.Checkpoint) {
		for _, t := range s.targets {
			i, ok := at[t.Alias]
			if !ok {
				i = len(out)
				at[t.Alias] = i
				n := done[t.Alias]
				out = append(out, web.IndexStatus{
					Name: t.Definition.Names[0], Alias: t.Alias,
					Written: n.written, Deleted: n.deleted, Superseded: n.superseded, Dropped: n.dropped, Expired: n.expired, Nulled: n.nulled,
				})
			}
			line := &out[i]
			line.Periods = nil
			for _, part := range t.All() {
				line.DeadLetters += open[part.Physical]
				if part.Period != "" {
					line.Periods = append(line.Periods, part.Physical)
				}
			}
			if t.Serving {
				line.Physical, line.Building = t.Physical, ""
			}
			if !t.Serving || t.Waiting {
				line.Building = t.Physical
			}
			line.Snapshot = s.snapshot(t)
			line.Verified = web.Verified(s.verifier.of(t.Alias))
		}
	})
	return out
}

// snapshot is how far a target's rows were read, of stored ones into the row store
// and then into documents. It runs until they can be searched. The checkpoint is being viewed.
func (s *status) snapshot(t *builds.Target) web.SnapshotStatus {
	out := web.SnapshotStatus{State: "done"}
	out.RowsDone, out.RowsEstimated = s.pipeline.joins.Progress(t.Physical)
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
	}
	if !t.Finished() {
		out.State = "running"
		out.ETASeconds = -1
		if took := time.Since(s.since).Seconds(); took > 0 {
			out.RowsPerSecond = float64(out.RowsDone-s.before[t.Physical]) / took
		}
		if out.RowsPerSecond > 0 && out.Estimated() {
			out.ETASeconds = float64(out.RowsEstimated-out.RowsDone) / out.RowsPerSecond
		}
	}
	return out
}

// maxLag is how far behind a ready daemon may be.
const maxLag = time.Minute

// NotReady lists why the daemon is not ready; empty when it is.
func (s *status) NotReady() []web.Trouble {
	st := s.Status()
	why := s.troubles()
	add := func(reason web.Reason, format string, args ...any) {
		why = append(why, web.Trouble{Reason: reason, Text: fmt.Sprintf(format, args...)})
	}
	if !st.Sink.Healthy {
		add(web.SinkDown, "sink: %s", st.Sink.Reason)
	}
	if s.catchesUp() {
		add(web.Lag, "what was committed before this session began is not delivered yet")
	}
	for _, index := range st.Indexes {
		if index.Snapshot.State != "done" && (index.Building == "" || index.Physical == "") {
			add(web.Loading, "index %s: %s are done", index.Alias, index.Snapshot.Rows())
		}
	}
	if lag := time.Duration(st.Source.LagSeconds * float64(time.Second)); lag > maxLag {
		text := fmt.Sprintf("%s behind the source", lag.Round(time.Second))
		if c := st.Source.CatchUp; c != nil && c.LeftSeconds >= 0 {
			text += fmt.Sprintf("; at %.0f documents a second it is made up for in about %s", c.DocumentsPerSecond, seconds(c.LeftSeconds).Round(time.Second))
		}
		add(web.Lag, "%s", text)
	}
	return why
}

// catchesUp reports whether a session runs that has not delivered what it found to be done.
func (s *status) catchesUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == "running" && s.pipeline != nil && !s.pipeline.current.Load()
}

// troubles are those that the daemon was told of, and the servers that leave it without an answer.
func (s *status) troubles() (all []web.Trouble) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != "running" {
		all = append(all, web.Trouble{Reason: s.why.Reason, Text: cmp.Or(s.why.Text, s.state)})
	}
	all = append(all, s.forPeople()...)
	for _, text := range s.wrong {
		all = append(all, web.Trouble{Reason: web.AliasTaken, Text: text})
	}
	if s.trouble != "" {
		all = append(all, web.Trouble{Reason: web.CheckpointUnsaved, Text: s.trouble})
	}
	if s.unqueue != "" {
		all = append(all, web.Trouble{Reason: web.EventQueue, Text: s.unqueue})
	}
	return append(all, s.unanswered()...)
}

// What a ready daemon's servers may leave unanswered.
const (
	maxSilence = 8 * time.Second // by the source's stream
	maxSaving  = 5 * time.Second // by the sink, of a checkpoint
)

// unanswered says which server has left the daemon without an answer for long:
// a connection may be dead without being closed. The lock is held.
func (s *status) unanswered() (why []web.Trouble) {
	if s.pipeline == nil || s.state != "running" {
		return nil
	}
	if d := s.pipeline.source.Silence(); d > maxSilence {
		why = append(why, web.Trouble{Reason: web.SourceSilent, Text: fmt.Sprintf("source: the server has said nothing for %s", d.Round(time.Second))})
	}
	if d := s.pipeline.state.SavingFor(time.Now()); d > maxSaving {
		why = append(why, web.Trouble{Reason: web.CheckpointSlow, Text: fmt.Sprintf("sink: the checkpoint has been on its way for %s", d.Round(time.Second))})
	}
	return why
}

// Unhealthy says why the process does not do its work; empty while it does.
// Waiting for a server that is down is work. What a person must mend is not,
// though the rest goes on.
func (s *status) Unhealthy() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != "running" && s.why.Reason.ForPerson() {
		return s.why.Text
	}
	return strings.Join(web.Lines(s.forPeople()), "\n")
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
func (s *status) forPeople() (all []web.Trouble) {
	for _, alias := range slices.Sorted(maps.Keys(s.held)) {
		all = append(all, web.Trouble{Reason: web.HeldUp, Text: "index " + alias + " is held up: " + s.held[alias]})
	}
	for _, table := range slices.Sorted(maps.Keys(s.unread)) {
		all = append(all, web.Trouble{Reason: web.Unreadable, Text: s.unread[table]})
	}
	return all
}
