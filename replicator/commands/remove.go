package commands

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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
	source, sink, err := cfg.Open(zerolog.Nop())
	if err != nil {
		return err
	}
	defer source.Close()
	defer sink.Close()
	r := &removal{source: source, sink: sink, saved: sink, name: cfg.Name, indexes: options.Indexes, store: cfg.StoreDir()}
	for _, name := range slices.Sorted(maps.Keys(cfg.Indexes)) {
		r.aliases = append(r.aliases, cmp.Or(cfg.Indexes[name].Index, name))
	}
	if err := r.plan(ctx); err != nil {
		return err
	}
	if _, err := io.WriteString(out, r.announce()); err != nil || len(r.lines) == 0 {
		return err
	}
	if err := confirm(options, out); err != nil {
		return err
	}
	if err := r.run(ctx); err != nil {
		return err
	}
	_, err = io.WriteString(out, "removed\n")
	return err
}

// confirm waits for a yes.
func confirm(options RemoveOptions, out io.Writer) error {
	if options.Yes {
		return nil
	}
	if options.In == nil {
		return errors.New("nothing removed: add --yes to go on without being asked")
	}
	if _, err := io.WriteString(out, "type yes to go on: "); err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	answer, err := bufio.NewReader(options.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read answer: %w", err)
	}
	if strings.TrimSpace(answer) != "yes" {
		return errors.New("nothing removed")
	}
	return nil
}

// A removal is what is there to be dropped.
type removal struct {
	source     sources.Source
	sink       sinks.Catalog
	saved      sinks.Checkpoints
	name       string
	indexes    bool
	store      string   // the row store's folder; empty where there is none
	aliases    []string // of the definitions
	lines      []string // what is dropped, for people
	kept       []string // physical indexes that stay
	physical   []string
	checkpoint bool
}

// announce says what will be done, for people.
func (r *removal) announce() string {
	var b strings.Builder
	for _, line := range r.lines {
		fmt.Fprintf(&b, "will drop %s\n", line)
	}
	if len(r.kept) > 0 {
		fmt.Fprintf(&b, "will keep index %s; --indexes drops what is kept, too\n", strings.Join(r.kept, ", "))
	}
	if len(r.lines) == 0 {
		b.WriteString("nothing to remove\n")
	}
	return b.String()
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

// removeStore deletes the row store, and the pipeline's folder if nothing else is in it.
func (r *removal) removeStore() error {
	if r.store == "" {
		return nil
	}
	if _, err := rowstore.Remove(r.store, false); err != nil {
		return storeError(err)
	}
	_ = os.Remove(filepath.Dir(r.store)) // it stays where anything else is in it
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
		for _, physical := range made {
			names = append(names, sinks.WriteAlias(physical))
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
	if err := r.removeStore(); err != nil {
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
	if err := r.saved.RemoveCheckpoint(ctx, r.name); err != nil {
		return fmt.Errorf("remove checkpoint: %w", err)
	}
	return nil
}
