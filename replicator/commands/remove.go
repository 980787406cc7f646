package commands

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"haystream/mapping/rowstore"
	"haystream/replicator/builds"
	"haystream/replicator/config"
	"haystream/sinks"
	"haystream/sources"
)

// RemoveOptions say what Remove drops and whether it asks.
type RemoveOptions struct {
	Indexes bool
	Yes     bool      // do not ask
	In      io.Reader // where the answer comes from; nil where nobody can answer
}

// Remove drops what the pipeline has made: slot and publication where the source
// has such, checkpoint, row store and, when asked, the physical indexes. It says
// what it will do first. What is gone already is no error. It refuses while a
// daemon runs.
func Remove(ctx context.Context, cfg *config.Config, options RemoveOptions, out io.Writer) error {
	var removals []*removal
	for _, part := range cfg.Parts() {
		source, sink, err := part.Open(zerolog.Nop())
		if err != nil {
			return err
		}
		defer source.Close()
		defer sink.Close()
		r := &removal{
			source: source, sink: sink, saved: sink, name: part.Checkpoint(), beside: []string{part.Turn(), builds.AdoptionsNote(cfg.Name)},
			indexes: options.Indexes, store: part.StoreDir(), verified: []string{part.VerifyFile(), part.VerifyDir()},
		}
		for _, name := range slices.Sorted(maps.Keys(part.Indexes)) {
			r.aliases = append(r.aliases, cmp.Or(part.Indexes[name].Index, name))
		}
		if err := r.plan(ctx); err != nil {
			return err
		}
		removals = append(removals, r)
	}
	text, some := announce(removals)
	if _, err := io.WriteString(out, text); err != nil || !some {
		return err
	}
	if err := confirm(options.Yes, options.In, "removed", out); err != nil {
		return err
	}
	for _, r := range removals {
		if err := r.run(ctx); err != nil {
			return err
		}
	}
	_ = os.Remove(filepath.Dir(cfg.QueueDir())) // it stays where anything is in it
	_, err := io.WriteString(out, "removed\n")
	return err
}

// confirm waits for a yes, unless that was said already. in is nil where nobody can answer. did is
// what is not done without.
func confirm(yes bool, in io.Reader, did string, out io.Writer) error {
	if yes {
		return nil
	}
	if in == nil {
		return fmt.Errorf("nothing %s: add --yes to go on without being asked", did)
	}
	if _, err := io.WriteString(out, "type yes to go on: "); err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read answer: %w", err)
	}
	if strings.TrimSpace(answer) != "yes" {
		return fmt.Errorf("nothing %s", did)
	}
	return nil
}

// A removal is what is there to be dropped.
type removal struct {
	source     sources.Source
	sink       sinks.Catalog
	saved      sinks.Checkpoints
	name       string   // of the checkpoint
	beside     []string // what is saved beside it, by name
	indexes    bool
	store      string   // the row store's folder; empty where there is none
	verified   []string // where comparisons keep what they have found, and what they need meanwhile
	aliases    []string // of the definitions
	lines      []string // what is dropped, for people
	kept       []string // physical indexes that stay
	physical   []string
	checkpoint bool
}

// announce says what will be done, for people, and whether that is anything.
func announce(removals []*removal) (text string, some bool) {
	var b strings.Builder
	var kept []string
	for _, r := range removals {
		for _, line := range r.lines {
			fmt.Fprintf(&b, "will drop %s\n", line)
		}
		kept, some = append(kept, r.kept...), some || len(r.lines) > 0
	}
	if len(kept) > 0 {
		fmt.Fprintf(&b, "will keep index %s; --indexes drops what is kept, too\n", strings.Join(kept, ", "))
	}
	if !some {
		b.WriteString("nothing to remove\n")
	}
	return b.String(), some
}

// plan looks for what is there.
func (r *removal) plan(ctx context.Context) error {
	dropped, err := r.source.Remove(ctx, true)
	if errors.Is(err, sources.ErrBusy) {
		return fmt.Errorf("a daemon is running, stop it first: %w", err)
	}
	if err != nil {
		return fmt.Errorf("look at source: %w", err)
	}
	r.lines = append(r.lines, dropped...)
	data, _, err := r.saved.LoadCheckpoint(ctx, r.name)
	if err != nil {
		return fmt.Errorf("load checkpoint: %w", err)
	}
	cp := builds.NewCheckpoint(r.name)
	if data != nil {
		known, err := builds.ParseCheckpoint(data, r.name)
		switch {
		case errors.Is(err, builds.ErrNewer):
			return err
		case err == nil: // a damaged one is dropped without what it knew
			cp = known
		}
		r.checkpoint = true
		r.lines = append(r.lines, "checkpoint "+r.name)
	}
	if err := r.planStore(); err != nil {
		return err
	}
	r.planVerified()
	return r.planIndexes(ctx, cp)
}

// planStore looks for the row store.
func (r *removal) planStore() error {
	found, err := rowstore.Remove(r.store, true)
	if err != nil {
		return storeError(err)
	}
	if found {
		r.lines = append(r.lines, "row store "+r.store)
	} else {
		r.store = ""
	}
	return nil
}

// planVerified looks for what comparisons have left: a new pipeline of the name is not to show it as its own.
func (r *removal) planVerified() {
	r.verified = slices.DeleteFunc(r.verified, func(path string) bool {
		_, err := os.Lstat(path)
		return errors.Is(err, fs.ErrNotExist)
	})
	for _, path := range r.verified {
		r.lines = append(r.lines, "what verify has found in "+path)
	}
}

// removeState deletes the row store and what comparisons have left.
func (r *removal) removeState() error {
	for _, path := range r.verified {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove: %w", err)
		}
	}
	if r.store == "" {
		return nil
	}
	if _, err := rowstore.Remove(r.store, false); err != nil {
		return storeError(err)
	}
	return nil
}

func storeError(err error) error {
	if errors.Is(err, rowstore.ErrLocked) {
		return fmt.Errorf("a daemon is running, stop it first: %w", err)
	}
	return fmt.Errorf("remove: %w", err)
}

// planIndexes looks for the physical indexes that the checkpoint knows of, and
// for those behind the configured aliases: an earlier removal may have left them.
func (r *removal) planIndexes(ctx context.Context, cp *builds.Checkpoint) error {
	looked := map[string]bool{}
	names := slices.Concat(r.aliases, cp.WriteAliases())
	for _, alias := range r.aliases { // a lost checkpoint may have known of more
		made, err := r.sink.Made(ctx, alias)
		if err != nil {
			return err
		}
		for _, index := range made {
			names = append(names, sinks.WriteAlias(index.Physical))
		}
	}
	for _, name := range names {
		index, err := r.sink.Index(ctx, name)
		switch {
		case errors.Is(err, sinks.ErrForeign):
			continue
		case err != nil:
			return fmt.Errorf("look at index %s: %w", name, err)
		case index == nil || looked[index.Physical]:
			continue
		}
		looked[index.Physical] = true
		if r.indexes {
			r.physical = append(r.physical, index.Physical)
			r.lines = append(r.lines, "index "+index.Physical)
		} else {
			r.kept = append(r.kept, index.Physical)
		}
	}
	return nil
}

// run drops the indexes before the checkpoint that names them, so that a
// removal that was cut short can be repeated.
func (r *removal) run(ctx context.Context) error {
	if _, err := r.source.Remove(ctx, false); err != nil {
		return fmt.Errorf("remove from source: %w", err)
	}
	if err := r.removeState(); err != nil {
		return err
	}
	for _, physical := range r.physical {
		if err := r.sink.Drop(ctx, physical); err != nil {
			return fmt.Errorf("drop index %s: %w", physical, err)
		}
	}
	if !r.checkpoint {
		return nil
	}
	for _, name := range append([]string{r.name}, r.beside...) {
		if err := r.saved.RemoveCheckpoint(ctx, name); err != nil {
			return fmt.Errorf("remove checkpoint: %w", err)
		}
	}
	return nil
}
