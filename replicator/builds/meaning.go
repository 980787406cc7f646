package builds

import (
	"maps"
	"slices"

	"github.com/rs/zerolog"

	"haystream/internal/fault"
	"haystream/mapping"
	"haystream/sources"
)

// What rows and values that were read mean can change without a row in the log:
// a table is emptied, or replaced by another; a column is altered. Each such
// event begins an epoch of what it touches. A physical index knows the epoch
// that it was planned in, a stored table the epochs of its columns; what is
// made of something that has come to a later one is stale. Rows and the note of
// how far they were read are of one stored table, so that they go together.

// A tableState is what is known of the meaning of a table's values.
type tableState struct {
	Fingerprint sources.Fingerprint `json:"fingerprint,omitzero"` // of the columns in use, as last seen
	Epochs      sources.Epochs      `json:"epochs,omitzero"`

	// Fresh are columns whose values are read anew, or for the first time, from the
	// session's mark on: what they were before does not matter.
	Fresh []string `json:"fresh,omitempty"`

	// Reason is why the last epoch began, for people.
	Reason string `json:"reason,omitempty"`
}

// stale begins an epoch of what has become stale of a table.
func (t *tableState) stale(epoch int64, what *sources.Staleness) {
	if fault.Planted("swallowed ALTER") {
		return
	}
	t.Epochs.Begin(epoch, what)
	t.Reason = what.Reason
	if columns := what.Columns; len(columns) > 0 {
		t.Fresh = append(t.Fresh, columns...)
	} else {
		t.Fresh = slices.AppendSeq(t.Fresh, maps.Keys(t.Fingerprint.Columns))
	}
	slices.Sort(t.Fresh)
	t.Fresh = slices.Compact(t.Fresh)
}

// Compare looks at what the catalog tells of the tables in use, begins an epoch
// of what means something else than before, and gives the tables their epochs.
func (cp *Checkpoint) Compare(catalog []*sources.Table, log zerolog.Logger) {
	epoch := int64(0)
	for _, t := range catalog {
		known := cp.Tables[t.String()]
		if known == nil {
			continue
		}
		for _, what := range t.Fingerprint.Since(known.Fingerprint) {
			if epoch == 0 {
				epoch = cp.newEpoch()
			}
			log.Warn().Stringer("table", t).Msg("table " + t.String() + " " + what.Reason)
			known.stale(epoch, &what)
		}
		known.Fingerprint = t.Fingerprint.Of(slices.Sorted(maps.Keys(known.Fingerprint.Columns)))
		t.Epochs = known.Epochs
	}
}

// Use notes the tables of a plan, with what the catalog tells of them. What else is known stays until Settle: the
// session may end before it has decided about every index, and the next one may have other definitions.
func (cp *Checkpoint) Use(plan *mapping.Plan) {
	used := make(map[string]bool, len(plan.Tables))
	for _, t := range plan.Tables {
		used[t.String()] = true
	}
	if !maps.EqualFunc(cp.Tables, used, func(_ *tableState, _ bool) bool { return true }) {
		// With other tables in use the log is numbered otherwise from here on.
		cp.Told = min(cp.Told, cp.Version)
	}
	if cp.Tables == nil {
		cp.Tables = map[string]*tableState{}
	}
	for _, t := range plan.Tables {
		known := cp.Tables[t.String()]
		if known == nil {
			known = &tableState{}
			cp.Tables[t.String()] = known
		}
		columns := slices.Collect(maps.Keys(known.Fingerprint.Columns))
		for i := range t.Columns {
			name := t.Columns[i].Name
			if known.Fingerprint.Columns[name] != nil {
				continue
			}
			columns = append(columns, name)
			if !slices.Contains(known.Fresh, name) {
				known.Fresh = append(known.Fresh, name)
			}
		}
		known.Fingerprint = t.Fingerprint.Of(columns)
	}
	if cp.Homes == nil {
		cp.Homes = map[string]string{}
	}
	maps.Copy(cp.Homes, plan.Homes)
}

// Settle forgets the tables and columns that a plan does not use: no index goes on that is made of them, but for those
// that are marked stale. What names mean stays settled while definitions that use them are held up.
func (cp *Checkpoint) Settle(plan *mapping.Plan, why Held) {
	tables := make(map[string]*tableState, len(plan.Tables))
	for _, t := range plan.Tables {
		known := cp.Tables[t.String()]
		var columns []string
		for i := range t.Columns {
			columns = append(columns, t.Columns[i].Name)
		}
		known.Fingerprint = known.Fingerprint.Of(columns)
		tables[t.String()] = known
	}
	cp.Tables = tables
	if len(why) == 0 {
		cp.Homes = maps.Clone(plan.Homes)
	}
}

// NoteStale begins an epoch of what changes of the log have made stale, and reports
// whether there was anything that is in use. Versions up to Told are known.
func (cp *Checkpoint) NoteStale(changes []sources.Change) bool {
	epoch, before := int64(0), cp.Told // two may have one Version
	for i := range changes {
		c := &changes[i]
		known := cp.Tables[c.Table.String()]
		what := inUse(c.Stale, c.Table)
		if c.Version <= before || known == nil || what == nil {
			continue
		}
		if what.Older {
			if what = known.read(what); what == nil {
				cp.Told = c.Version
				continue
			}
		}
		if epoch == 0 {
			epoch = cp.newEpoch()
		}
		known.stale(epoch, what)
		cp.Told = c.Version
	}
	return epoch > 0
}

// inUse is what has become stale of the columns in use; nil where nothing of them has.
func inUse(what *sources.Staleness, t *sources.Table) *sources.Staleness {
	if len(what.Columns) == 0 {
		return what
	}
	used := slices.DeleteFunc(slices.Clone(what.Columns), func(name string) bool { return t.Column(name) < 0 })
	if len(used) == 0 {
		return nil
	}
	return &sources.Staleness{Columns: used, Reason: what.Reason, Older: what.Older}
}

// read is what has become stale of the columns that were read before; nil where
// nothing of them has.
func (t *tableState) read(what *sources.Staleness) *sources.Staleness {
	columns := slices.DeleteFunc(slices.Clone(what.Columns), func(name string) bool { return slices.Contains(t.Fresh, name) })
	if len(columns) == 0 {
		return nil
	}
	return &sources.Staleness{Columns: columns, Reason: what.Reason}
}

// reached notes that the log has come to where the tables are as they were planned.
func (cp *Checkpoint) reached() {
	for _, t := range cp.Tables {
		t.Fresh = nil
	}
}

// outdate marks an index stale that is made of something that has come to a
// later epoch, and returns the epoch that it has to be of. One into which nothing
// has come yet is of any.
func (cp *Checkpoint) outdate(w *mapping.Index) int64 {
	if st := cp.Indexes[w.Alias]; st != nil {
		for _, b := range []*build{st.Live, st.Next} {
			if b != nil && b.untouched() {
				b.Epoch = cp.Epoch
			}
		}
	}
	latest, reason := int64(0), ""
	for _, name := range slices.Sorted(maps.Keys(w.Uses)) {
		t := cp.Tables[name]
		if t == nil {
			continue
		}
		for _, column := range w.Uses[name] {
			if epoch := t.Epochs.Of(column); epoch > latest {
				latest, reason = epoch, "table "+name+" "+t.Reason
			}
		}
	}
	st := cp.Indexes[w.Alias]
	if st == nil {
		return latest
	}
	if st.Live != nil && st.Live.Epoch < latest {
		cp.markStale(w.Alias, reason, latest)
	}
	if st.Stale != "" {
		latest = max(latest, st.Epoch)
	}
	return latest
}
