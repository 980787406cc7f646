package builds

import (
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"haystream/mapping"
	"haystream/sinks"
	"haystream/sinks/ndjson"
	"haystream/sources"
)

// A shelf is a sink's indexes with a checkpoint, as a session finds them.
type shelf struct {
	*Indexes
	t     *testing.T
	clock time.Time
	gone  chan struct{} // closed once nothing is on its way
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	sink, err := ndjson.New(ndjson.Config{Path: "/dev/null"}, sinks.Options{StateDir: t.TempDir(), Owner: "blog", MaxDeadLetters: 10}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sink.Close)
	s := &shelf{t: t, gone: make(chan struct{}), clock: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}
	close(s.gone)
	s.Indexes = &Indexes{Sink: sink, Log: zerolog.Nop(), barrier: func(string) <-chan struct{} { return s.gone }, Now: func() time.Time {
		s.clock = s.clock.Add(time.Second)
		return s.clock
	}}
	return s.restart()
}

// restart loads the checkpoint anew, as another process would.
func (s *shelf) restart() *shelf {
	s.t.Helper()
	st, err := LoadState(s.t.Context(), s.Sink, "blog", "test", time.Now, zerolog.Nop())
	if err != nil {
		s.t.Fatal(err)
	}
	s.State = st
	return s
}

// reconciled reconciles one index and returns what is known of it.
func (s *shelf) reconciled(w *mapping.Index) indexState {
	s.t.Helper()
	if err := s.Reconcile(s.t.Context(), []*mapping.Index{w}); err != nil {
		s.t.Fatal(err)
	}
	s.save()
	return s.known()
}

func (s *shelf) save() {
	s.t.Helper()
	if _, err := s.State.Save(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shelf) known() (st indexState) {
	s.State.View(func(cp *Checkpoint) { st = *cp.Indexes["notes"] })
	return st
}

func (s *shelf) serving() string {
	s.t.Helper()
	index, err := s.Sink.Index(s.t.Context(), "notes")
	if err != nil {
		s.t.Fatal(err)
	}
	return nameOf(index)
}

// load marks every table of a build as read.
func (s *shelf) load(b *build) {
	s.State.Update(func(*Checkpoint) {
		for _, p := range b.Tables {
			p.Done, p.Rows = true, 3
		}
	})
}

func defined(as string, appending bool) *mapping.Index {
	table := &sources.Table{Schema: "public", Home: true, Name: "note"}
	mode := ""
	if appending {
		mode = "append"
	}
	return &mapping.Index{
		Alias: "notes", Names: []string{"notes"}, Normalized: []byte(`{"as":"` + as + `","definitions":{"notes":{"mode":"` + mode + `"}}}`), Mappings: []byte(`{}`),
		Renderers: []*mapping.Renderer{{Name: "notes", Table: table, Append: appending}},
	}
}

func TestFirstIndexServesFromTheStart(t *testing.T) {
	s := newShelf(t)
	st := s.reconciled(defined("one", false))
	if st.Live == nil || st.Next != nil || s.serving() != st.Live.Physical {
		t.Errorf("live %v, next %v, serving %q", st.Live.name(), st.Next.name(), s.serving())
	}
	if again := s.restart().reconciled(defined("one", false)); again.Live.Physical != st.Live.Physical {
		t.Error("a second start made another index")
	}
}

// TestPlannedIndexThatWasNeverMade is a crash between the plan and the making.
func TestPlannedIndexThatWasNeverMade(t *testing.T) {
	for _, as := range []string{"one", "two"} {
		s := newShelf(t)
		plan := newBuild(defined("one", false), 0, s.Now())
		s.State.Update(func(cp *Checkpoint) { cp.Indexes["notes"] = &indexState{Live: plan} })
		s.save()
		st := s.restart().reconciled(defined(as, false))
		if st.Live == nil || st.Live.UUID == "" || s.serving() != st.Live.Physical {
			t.Errorf("definition %s: live %v, serving %q", as, st.Live.name(), s.serving())
		}
		if (st.Live.Physical == plan.Physical) != (as == "one") {
			t.Errorf("definition %s is fed into %s, planned for one was %s", as, st.Live.Physical, plan.Physical)
		}
	}
}

func TestChangedDefinitionIsBuiltBeside(t *testing.T) {
	s := newShelf(t)
	old := s.reconciled(defined("one", false)).Live
	st := s.restart().reconciled(defined("two", false))
	if st.Live.Physical != old.Physical || !st.Next.is(defined("two", false)) || s.serving() != old.Physical {
		t.Fatalf("live %v, next %v, serving %v", st.Live.name(), st.Next.name(), s.serving())
	}
	st = s.restart().reconciled(defined("one", false))
	if st.Next != nil || s.serving() != old.Physical {
		t.Errorf("after the change was taken back: next %v, serving %v", st.Next.name(), s.serving())
	}
}

// TestIndexWithoutChanges: a live index that cannot be fed while another is built
// beside does not serve on when its definition is taken back.
func TestIndexWithoutChanges(t *testing.T) {
	s := newShelf(t)
	first := s.reconciled(defined("one", false)).Live
	s.load(first)
	second := defined("two", false)
	next := s.reconciled(second).Next
	fed := s.Targets([]*mapping.Index{second}, map[string]*mapping.Index{first.Physical: defined("one", false)})
	if len(fed) != 2 || s.known().Stale != "" {
		t.Fatalf("%d targets, stale %q", len(fed), s.known().Stale)
	}
	if unfed := s.Targets([]*mapping.Index{second}, nil); len(unfed) != 1 || unfed[0].Physical != next.Physical {
		t.Fatalf("fed: %v", unfed)
	}
	s.save()
	st := s.restart().reconciled(defined("one", false))
	if st.Live.Physical != first.Physical || st.Next == nil || st.Next.Physical == next.Physical || !st.Next.is(defined("one", false)) {
		t.Errorf("live %v, next %v, stale %q", st.Live.name(), st.Next.name(), st.Stale)
	}
}

// TestSwapWaitsForWhatIsOnItsWay: while a write to the old index is under way,
// a reader must not be led to the new one, which may lack it yet.
func TestSwapWaitsForWhatIsOnItsWay(t *testing.T) {
	s := newShelf(t)
	w, first := defined("two", false), s.reconciled(defined("one", false)).Live
	old := map[string]*mapping.Index{first.Physical: defined("one", false)}
	s.load(first)
	st := s.reconciled(w)
	targets := s.Targets([]*mapping.Index{w}, old)
	live := targets[slices.IndexFunc(targets, func(t *Target) bool { return t.Serving })]
	s.gone = make(chan struct{})
	s.load(st.Next)
	finish := func() {
		t.Helper()
		if err := s.Finish(t.Context(), targets); err != nil {
			t.Fatal(err)
		}
	}
	finish()
	if s.serving() != st.Live.Physical || !live.Retired.Load() {
		t.Fatalf("serving %v, retired %v", s.serving(), live.Retired.Load())
	}
	if got := s.known(); got.Stale == "" {
		t.Error("an index that gets nothing more is not marked stale")
	}
	close(s.gone)
	finish()
	if s.serving() != st.Next.Physical {
		t.Errorf("serving %v", s.serving())
	}
	if got := s.known(); got.Live.Physical != st.Next.Physical || got.Next != nil || got.Stale != "" || !got.Live.Finished {
		t.Errorf("after the swap: %+v", got)
	}
	if index, err := s.Sink.Index(t.Context(), sinks.WriteAlias(st.Live.Physical)); index == nil || err != nil {
		t.Errorf("the replaced index is gone while searches may go on in it: %v", err)
	}
	s.clock = s.clock.Add(dropGrace)
	finish()
	if index, err := s.Sink.Index(t.Context(), sinks.WriteAlias(st.Live.Physical)); index != nil || err != nil {
		t.Errorf("the replaced index is still there: %v, %v", index, err)
	}
}

// TestReindex: an index is built anew because somebody has asked, once however often, and what it
// replaces is kept as long as it is one of the latest.
func TestReindex(t *testing.T) {
	s := newShelf(t)
	w := defined("one", false)
	w.KeepOld = 2
	wanted := []*mapping.Index{w}
	s.load(s.reconciled(w).Live)
	var served []string
	for round := range 4 {
		finish := func(targets []*Target) {
			t.Helper()
			for range 3 {
				if err := s.Finish(t.Context(), targets); err != nil {
					t.Fatal(err)
				}
			}
		}
		finish(s.Targets(wanted, nil))
		served = append(served, s.serving())
		for again := range 3 {
			var asked Reindexing
			var err error
			s.State.Update(func(cp *Checkpoint) { asked, err = cp.Reindex("notes", again == 1) })
			if err != nil || asked.Index != "notes" || asked.Replaces != served[round] || (asked.Building != "") != (again > 0) {
				t.Fatalf("asked for time %d: %+v, %v", again, asked, err)
			}
			s.save()
			s.restart().reconciled(w)
		}
		st := s.known()
		targets := s.Targets(wanted, nil)
		if len(targets) != 2 || !targets[1].merging.wanted {
			t.Fatalf("%d targets", len(targets))
		}
		s.merges = &merges{asked: make(chan *Target, 2)}
		s.load(st.Next)
		finish(targets)
		if s.serving() != served[round] {
			t.Fatal("it serves before its segments are merged")
		}
		targets[1].merging.done.Store(true)
		finish(targets)
		if got := s.known(); s.serving() != st.Next.Physical || got.Merge || !slices.Equal(got.Old, served[max(0, round-1):]) {
			t.Fatalf("serving %s, kept %v of %v", s.serving(), got.Old, served)
		}
		s.save()
	}
	s.clock = s.clock.Add(dropGrace)
	if err := s.Finish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	all, err := s.Sink.Made(t.Context(), "notes")
	var made []string
	for _, index := range all {
		made = append(made, index.Physical)
	}
	if want := append(served[2:4:4], s.serving()); err != nil || !slices.Equal(made, want) {
		t.Errorf("there are %v, want %v; %v", made, want, err)
	}
	w.KeepOld = 1
	if st := s.reconciled(w); !slices.Equal(st.Old, served[3:4]) {
		t.Errorf("with a lower number %v are kept", st.Old)
	}
	if _, err := (&Checkpoint{Indexes: map[string]*indexState{"notes": {Held: true}}}).Reindex("notes", false); err == nil {
		t.Error("an index that is held up is built anew")
	}
}

// TestSwapThatWasNotSaved is a crash after the alias was swapped, followed by
// a return to the old definition: the alias must not go with the discarded index.
func TestSwapThatWasNotSaved(t *testing.T) {
	s := newShelf(t)
	live := s.reconciled(defined("one", false)).Live
	next := s.reconciled(defined("two", false)).Next
	if err := s.Sink.Swap(t.Context(), "notes", next.Physical); err != nil {
		t.Fatal(err)
	}
	s.restart().reconciled(defined("one", false))
	if s.serving() != live.Physical {
		t.Errorf("serving %q, not %s", s.serving(), live.Physical)
	}
}

// TestSwapThatWasNotSavedOfWhatIsStale: the alias stays with what it was swapped to, though that is to be built anew: what
// was replaced is older.
func TestSwapThatWasNotSavedOfWhatIsStale(t *testing.T) {
	s := newShelf(t)
	s.load(s.reconciled(defined("one", false)).Live)
	next := s.reconciled(defined("two", false)).Next
	s.load(next)
	if err := s.Sink.Swap(t.Context(), "notes", next.Physical); err != nil {
		t.Fatal(err)
	}
	s.State.Update(func(cp *Checkpoint) { cp.markStale("notes", "the row store was begun anew", cp.newEpoch()) })
	s.save()
	st := s.restart().reconciled(defined("two", false))
	if s.serving() != next.Physical || st.Live.name() != next.Physical || st.Next == nil || st.Next.Physical == next.Physical {
		t.Errorf("serving %q, live %s, next %s; %s was swapped in", s.serving(), st.Live.name(), st.Next.name(), next.Physical)
	}
}

func TestStaleIndex(t *testing.T) {
	stale := func(appending bool) (before, after indexState) {
		s := newShelf(t)
		before = s.reconciled(defined("one", appending))
		s.load(before.Live)
		s.State.Update(func(cp *Checkpoint) { cp.markStale("notes", "slot lost", cp.newEpoch()) })
		return before, s.reconciled(defined("one", appending))
	}
	if before, after := stale(false); after.Next == nil || after.Next.Epoch != 1 || after.Live.Physical != before.Live.Physical {
		t.Errorf("no fresh index beside: %+v", after)
	}
	before, after := stale(true)
	if after.Next != nil || after.Live.Physical != before.Live.Physical || !after.Live.fresh() || after.Stale != "" {
		t.Errorf("an append-only index is not read again in place: %+v", after)
	}
}

// TestAppendIsTakenOver: an index that keeps documents goes on where the checkpoint was lost.
func TestAppendIsTakenOver(t *testing.T) {
	s := newShelf(t)
	was := s.reconciled(defined("one", true)).Live
	s.State.Update(func(cp *Checkpoint) { cp.Indexes, cp.Version = map[string]*indexState{}, 5 })
	st := s.reconciled(defined("two", true))
	if st.Next != nil || st.Live.Physical != was.Physical || st.Live.UUID != was.UUID || !st.Live.fresh() || !st.Live.by(defined("two", true)) {
		t.Errorf("%+v", st)
	}
	s.State.View(func(cp *Checkpoint) {
		if cp.Version < versionStride {
			t.Errorf("numbering goes on at %d", cp.Version)
		}
	})
	targets := s.Targets([]*mapping.Index{defined("two", true)}, map[string]*mapping.Index{was.Physical: defined("one", true)})
	if len(targets) != 1 || !targets[0].Unbroken || string(targets[0].Definition.Normalized) != string(defined("two", true).Normalized) {
		t.Errorf("it is fed by another definition, or lacks changes: %+v", targets)
	}
}

// TestAppendIsFilled: what replaces an index that keeps documents serves once it has
// them, and not before. From then on it alone is up to date, whatever is wanted next.
func TestAppendIsFilled(t *testing.T) {
	s := newShelf(t)
	w := defined("one", true)
	s.reconciled(w)
	s.State.Update(func(cp *Checkpoint) { cp.Indexes["notes"].Live.Stored = true }) // it cannot be fed on in place
	was := s.known().Live
	st := s.reconciled(w)
	if st.Next == nil || !slices.Equal(st.Next.origins(), []string{was.Physical}) {
		t.Fatalf("%+v", st)
	}
	targets := s.Targets([]*mapping.Index{w}, nil)
	if next := targets[0]; !next.Unbroken || next.Since.Load() == unknown {
		t.Error("nothing gets the changes that come before the build begins")
	}
	s.copies = s.newCopies(targets)
	s.load(st.Next)
	finish := func() {
		t.Helper()
		if err := s.Finish(t.Context(), targets); err != nil {
			t.Fatal(err)
		}
	}
	finish()
	finish()
	if s.serving() != was.Physical {
		t.Fatalf("%s serves before it is filled", s.serving())
	}
	if asked := <-s.copies.asked; asked != targets[0] {
		t.Errorf("asked for %s", asked.Physical)
	}
	s.State.Update(func(cp *Checkpoint) { st.Next.Origins[0].Copied = true })
	s.gone = make(chan struct{}) // keeps the swap waiting
	finish()
	if got := s.known(); s.serving() != was.Physical || !got.Next.Sole {
		t.Fatalf("serving %s: %+v", s.serving(), got.Next)
	}
	s.save()
	got := s.restart().reconciled(defined("two", true))
	if got.Live.Physical != st.Next.Physical || got.Next != nil || got.Live.uncopied() != nil || s.serving() != st.Next.Physical {
		t.Errorf("live %s, next %s, serving %s", got.Live.name(), got.Next.name(), s.serving())
	}
}

// TestModeAppendIsGivenUp: the index that had documents of rows that are gone stays.
func TestModeAppendIsGivenUp(t *testing.T) {
	s := newShelf(t)
	appending := defined("one", true)
	was := s.reconciled(appending).Live
	w := defined("one", false)
	st := s.reconciled(w)
	targets := s.Targets([]*mapping.Index{w}, map[string]*mapping.Index{was.Physical: appending})
	s.load(st.Next)
	for range 2 {
		if err := s.Finish(t.Context(), targets); err != nil {
			t.Fatal(err)
		}
	}
	if index, err := s.Sink.Index(t.Context(), sinks.WriteAlias(was.Physical)); index == nil || err != nil || s.serving() != st.Next.Physical {
		t.Errorf("the former index is %v, %v; serving %s", index, err, s.serving())
	}
}

func TestIndexThatIsGoneIsMadeAnew(t *testing.T) {
	s := newShelf(t)
	gone := s.reconciled(defined("one", false)).Live
	if err := s.Sink.Drop(t.Context(), gone.Physical); err != nil {
		t.Fatal(err)
	}
	if st := s.restart().reconciled(defined("one", false)); st.Live.Physical == gone.Physical || s.serving() != st.Live.Physical {
		t.Errorf("live %v, serving %q", st.Live.name(), s.serving())
	}
}

func TestUnknownIndexThatServesIsReplaced(t *testing.T) {
	s := newShelf(t)
	unknown := s.reconciled(defined("one", false)).Live
	s.State.Update(func(cp *Checkpoint) { cp.Indexes = map[string]*indexState{} })
	w := defined("one", false)
	st := s.reconciled(w)
	if st.Live != nil || st.Next == nil {
		t.Fatalf("%+v", st)
	}
	targets := s.Targets([]*mapping.Index{w}, nil)
	s.load(st.Next)
	for range 3 {
		if err := s.Finish(t.Context(), targets); err != nil {
			t.Fatal(err)
		}
		s.clock = s.clock.Add(dropGrace)
	}
	if s.serving() != st.Next.Physical {
		t.Errorf("serving %q", s.serving())
	}
	if index, err := s.Sink.Index(t.Context(), sinks.WriteAlias(unknown.Physical)); index != nil || err != nil {
		t.Errorf("the index that nobody knew is still there: %v, %v", index, err)
	}
}

// TestEarlierCheckpointEmptiesNoAlias: readers keep what they see where a checkpoint is put back from when the index
// that served was planned, made, or read in part, and is gone or another one serves since.
func TestEarlierCheckpointEmptiesNoAlias(t *testing.T) {
	for name, former := range map[string]func(*build){
		"planned": func(b *build) { b.UUID = "" },
		"made":    func(*build) {},
		"begun": func(b *build) {
			for _, p := range b.Tables {
				p.Rows = 1
			}
		},
	} {
		s := newShelf(t)
		w := defined("one", false)
		first := s.reconciled(w).Live
		if name == "planned" {
			if err := s.Sink.Drop(t.Context(), first.Physical); err != nil {
				t.Fatal(err)
			}
		}
		serving, err := s.Sink.Create(t.Context(), sinks.IndexSpec{Alias: "notes", Physical: first.Physical + "9", Mappings: w.Mappings, Meta: w.Normalized})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Sink.Swap(t.Context(), "notes", serving.Physical); err != nil {
			t.Fatal(err)
		}
		s.State.Update(func(*Checkpoint) { former(first) })
		s.save()
		st := s.restart().reconciled(w)
		if s.serving() != serving.Physical || st.Live != nil || st.Next == nil {
			t.Errorf("%s: serving %s, live %s, next %s", name, s.serving(), st.Live.name(), st.Next.name())
		}
	}
}

// TestEarlierCheckpointOfModeAppend: the index that serves is gone on with, and gets the documents of the one that the
// checkpoint has only planned.
func TestEarlierCheckpointOfModeAppend(t *testing.T) {
	s := newShelf(t)
	w := defined("one", true)
	first := s.reconciled(w).Live
	serving, err := s.Sink.Create(t.Context(), sinks.IndexSpec{Alias: "notes", Physical: first.Physical + "9", Mappings: w.Mappings, Meta: w.Normalized})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sink.Swap(t.Context(), "notes", serving.Physical); err != nil {
		t.Fatal(err)
	}
	s.State.Update(func(*Checkpoint) { first.UUID = "" })
	s.save()
	st := s.restart().reconciled(w)
	if s.serving() != serving.Physical || st.Live.name() != serving.Physical || !slices.Equal(st.Live.origins(), []string{first.Physical}) {
		t.Errorf("serving %s, live %s with %v, next %s", s.serving(), st.Live.name(), st.Live.origins(), st.Next.name())
	}
}

// TestDamagedCheckpointLeavesNoIndexBehind: what serves stays until it is replaced; what
// was built beside is dropped, and a copy that somebody has made is not.
func TestDamagedCheckpointLeavesNoIndexBehind(t *testing.T) {
	s := newShelf(t)
	one := s.reconciled(defined("one", false))
	s.load(one.Live)
	two := s.reconciled(defined("two", false))
	if two.Next == nil {
		t.Fatal("nothing is built beside")
	}
	if _, err := s.Sink.SaveCheckpoint(t.Context(), "blog", []byte("damaged"), s.State.token); err != nil {
		t.Fatal(err)
	}
	st := s.restart().reconciled(defined("two", false))
	if s.serving() != one.Live.Physical || st.Next == nil || st.Next.Physical == two.Next.Physical {
		t.Errorf("serving %s, next %v", s.serving(), st.Next.name())
	}
	s.State.View(func(cp *Checkpoint) {
		if !slices.Equal(cp.Garbage, []string{two.Next.Physical}) {
			t.Errorf("to be dropped: %v, want %s", cp.Garbage, two.Next.Physical)
		}
	})
}

// TestAdoptionIsUsedUp: leave to take the place of what others have made goes once the alias is this pipeline's,
// whoever has pointed it there.
func TestAdoptionIsUsedUp(t *testing.T) {
	s := newShelf(t)
	s.Pipeline = "blog"
	load := func() *Adoptions {
		t.Helper()
		a, err := LoadAdoptions(t.Context(), s.Sink, "blog")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if err := load().Set(t.Context(), "people", true); err != nil {
		t.Fatal(err)
	}
	if err := load().Set(t.Context(), "notes", true); err != nil {
		t.Fatal(err)
	}
	s.Adopts = load()
	w := defined("one", false)
	s.load(s.reconciled(w).Live)
	if err := s.Finish(t.Context(), s.Targets([]*mapping.Index{w}, nil)); err != nil {
		t.Fatal(err)
	}
	if a := load(); a.Has("notes") || !a.Has("people") {
		t.Errorf("allowed are %v", a.Aliases)
	}
	if (*Adoptions)(nil).Has("notes") {
		t.Error("nothing allows something")
	}
}
