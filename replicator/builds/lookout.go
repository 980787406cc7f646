package builds

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"haystream/sinks"
)

// lookEvery is how often the sink is looked at while all is well. Where it does not
// take documents, or the checkpoint step fails, it is looked at sooner, for the reason.
const (
	lookEvery = 3 * time.Second
	lookSoon  = 300 * time.Millisecond
)

// A lookout looks whether what a session relies on in the sink is as it was left:
// physical indexes, write aliases, aliases. It puts right what is this pipeline's and
// only that, ends the session where an index has to be built anew, and says what a
// person must mend. Called by the checkpoint step only.
type lookout struct {
	point   func(ctx context.Context, alias, physical string) error // see Indexes, as the next two
	take    func(ctx context.Context, alias, physical string, foreign error) error
	may     func(ctx context.Context, alias string) bool
	sink    sinks.Catalog
	writer  sinks.Writer
	leased  func() bool
	targets []*Target
	report  func(complaints []string)
	log     zerolog.Logger
	looked  time.Time
	told    map[string]bool // complaints of the last look
}

// A LostError ends a session because a physical index is not what it was.
type LostError struct {
	Alias, Physical string
	what            string
	Period          bool // it is one of a period: the others are gone on with
}

func (e *LostError) Error() string {
	if e.Period {
		return fmt.Sprintf("index %s: %s; the tables are read again", e.Alias, e.what)
	}
	return fmt.Sprintf("index %s: %s; it is built anew", e.Alias, e.what)
}

// look looks at every target when that is due. Its error is a LostError, or that another daemon
// has the checkpoint: where the sink cannot be asked, the checkpoint step says so.
func (l *lookout) look(ctx context.Context, failing bool) error {
	wait := lookEvery
	if failing || l.writer.Health() != nil {
		wait = lookSoon
	}
	if time.Since(l.looked) < wait || !l.leased() {
		return nil
	}
	l.looked = time.Now()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var complaints []string
	unseen := false
	for _, t := range l.targets {
		if t.Retired.Load() {
			continue // it is about to be replaced
		}
		said, err := l.target(ctx, t)
		if _, lost := errors.AsType[*LostError](err); lost || errors.Is(err, sinks.ErrConflict) {
			return err
		}
		if err != nil {
			unseen = true // the next look sees more
		}
		complaints = append(complaints, said...)
	}
	if unseen {
		return nil
	}
	l.complain(complaints)
	return l.blocked(ctx)
}

// target looks at one physical index and what leads to it.
func (l *lookout) target(ctx context.Context, t *Target) (complaints []string, err error) {
	s, err := l.sink.Standing(ctx, t.Alias, t.Physical)
	if err != nil {
		return nil, err
	}
	if what := lost(&s, t.build); what != "" {
		return nil, &LostError{t.Alias, t.Physical, what, false}
	}
	if err := l.periods(ctx, t, s.Periods); err != nil {
		return nil, err
	}
	var r *sinks.Refusal
	for _, part := range t.All() {
		if r == nil {
			r = part.Refused()
		}
	}
	switch {
	case s.Blocked != "":
		complaints = append(complaints, fmt.Sprintf("index %s: %s", t.Alias, s.Blocked))
	case r != nil:
		complaints = append(complaints, fmt.Sprintf("index %s: %s", t.Alias, r.Why))
	}
	mend := func(alias, told string) error {
		err := l.point(ctx, alias, t.Physical)
		if errors.Is(err, sinks.ErrForeign) && alias == t.Alias && t.build.Finished {
			if err = l.take(ctx, alias, t.Physical, err); err == nil {
				return nil
			}
		}
		switch {
		case errors.Is(err, sinks.ErrForeign):
			complaints = append(complaints, fmt.Sprintf("index %s: %v", t.Alias, err))
			return nil
		case err == nil:
			l.log.Warn().Str("index", t.Alias).Str("physical", t.Physical).Msg(told)
		}
		return err
	}
	if s.WritesTo == "" {
		if err := mend(t.WriteAlias, writesRefused(t.build)); err != nil {
			return nil, err
		}
	}
	if !t.Serving && len(s.Serving) > 0 && t.first(l.targets) {
		if _, err := l.sink.Index(ctx, t.Alias); errors.Is(err, sinks.ErrForeign) && !l.may(ctx, t.Alias) {
			complaints = append(complaints, fmt.Sprintf("index %s: %v", t.Alias, err))
		}
	}
	if t.Serving && !slices.Equal(s.Serving, []string{t.Physical}) && !t.replaced(s.Serving) {
		was := "was removed, got a filter, or took writes"
		if len(s.Serving) > 0 {
			was = "led to " + strings.Join(s.Serving, " and ")
		}
		err = mend(t.Alias, "the alias "+t.Alias+" was changed by hand: it "+was+"; it is set right")
	}
	return complaints, err
}

// replaced reports whether the alias leads to the target's replacement as it should.
func (t *Target) replaced(serving []string) bool {
	return t.Replacement != nil && t.Replacement.drained != nil && slices.Equal(serving, []string{t.Replacement.Physical})
}

// first reports whether nothing serves until the target does.
func (t *Target) first(all []*Target) bool {
	return !slices.ContainsFunc(all, func(other *Target) bool { return other.Alias == t.Alias && other.Serving })
}

// lost says what has become of a physical index that cannot be gone on with; empty
// where it can.
func lost(s *sinks.Standing, b *build) string {
	switch {
	case s.UUID == "":
		return fmt.Sprintf("the physical index %s is gone: somebody has deleted it", b.Physical)
	case s.UUID != b.UUID:
		return fmt.Sprintf("the physical index %s was replaced by another one of that name", b.Physical)
	case s.WritesTo != "" && s.WritesTo != b.Physical:
		return fmt.Sprintf("the write alias %s was pointed to %s by hand, and what was written since is there", sinks.WriteAlias(b.Physical), s.WritesTo)
	}
	return ""
}

func writesRefused(b *build) string {
	return "the write alias " + sinks.WriteAlias(b.Physical) + " was removed or shared by hand; it is set right, and nothing is lost, since writes without it are refused"
}

// complain shows what a person must mend, and logs what is news of it.
func (l *lookout) complain(complaints []string) {
	told := map[string]bool{}
	for _, text := range complaints {
		if told[text] = true; !l.told[text] {
			l.log.Error().Msg(text)
		}
	}
	l.told = told
	l.report(complaints)
}

// stands reports whether a build's physical index is there to be gone on with, and
// sets its write alias right. One that is there and cannot is dropped, unless readers
// still see it: then the swap drops it.
func (x *Indexes) stands(ctx context.Context, alias string, b *build) (bool, error) {
	s, err := x.standing(ctx, alias, b.Physical)
	if err != nil {
		return false, err
	}
	what := lost(&s, b)
	if s.UUID == "" && len(s.Periods) > 0 {
		x.Log.Error().Str("index", alias).Str("physical", b.Physical).Msg(what + "; it is made again, and the documents without a date that it had are lost, but for those of rows that are read again")
		b.UUID, x.holed = "", what
		return true, nil
	}
	if what == "" {
		if s.WritesTo == "" {
			if err = x.point(ctx, sinks.WriteAlias(b.Physical), b.Physical); err == nil {
				x.Log.Warn().Str("index", alias).Str("physical", b.Physical).Msg(writesRefused(b))
			}
		}
		return true, err
	}
	if s.UUID == b.UUID && appends(b.Definition) { // it has documents that are nowhere else
		err := x.point(ctx, sinks.WriteAlias(b.Physical), b.Physical)
		if err == nil {
			x.Log.Error().Str("index", alias).Str("physical", b.Physical).Msg(what + "; it is set right, and the tables are read again")
			x.holed = what
		}
		return err == nil, err
	}
	if e := (&LostError{alias, b.Physical, what, false}); !x.Told[e.Error()] {
		x.Log.Error().Str("index", alias).Str("physical", b.Physical).Msg(e.Error())
	}
	if s.UUID == b.UUID && !slices.Contains(s.Serving, b.Physical) {
		x.discard(b)
	}
	return false, nil
}

// standing looks at a physical index that is gone on with, and notes which periods it has.
func (x *Indexes) standing(ctx context.Context, alias, physical string) (sinks.Standing, error) {
	s, err := x.Sink.Standing(ctx, alias, physical)
	if x.found == nil {
		x.found = map[string][]string{}
	}
	x.found[physical] = s.Periods
	return s, err
}

// leftovers puts on the list of those to be dropped the physical indexes that nobody
// knows of any more, since the checkpoint was lost. What readers see stays until the swap, and
// what it has replaced as long as such are kept.
func (x *Indexes) leftovers(ctx context.Context, alias string, st *indexState, serving *sinks.Index) error {
	made, err := x.Sink.Made(ctx, alias)
	if err != nil {
		return err
	}
	x.State.Update(func(cp *Checkpoint) {
		for _, index := range made {
			switch physical := index.Physical; {
			case physical == nameOf(serving), slices.Contains(cp.Garbage, physical), appends(index.Meta):
			case physical < nameOf(serving): // by their timestamps
				st.Old = append(st.Old, physical)
			default:
				cp.Garbage = append(cp.Garbage, physical)
			}
		}
	})
	return nil
}
