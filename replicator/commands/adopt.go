package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"haystream/replicator/builds"
	"haystream/replicator/config"
	"haystream/sinks"
)

// AdoptOptions say what Adopt takes and whether it asks.
type AdoptOptions struct {
	Index  string // a definition or its alias
	DryRun bool
	Yes    bool      // do not ask
	In     io.Reader // where the answer comes from; nil where nobody can answer
}

// Adopt lets the daemon take the place of an index or alias that others have made. It says
// first what the daemon will do. No daemon has to run.
func Adopt(ctx context.Context, cfg *config.Config, options AdoptOptions, out io.Writer) error {
	alias, tables, err := adoptable(cfg, options.Index)
	if err != nil {
		return err
	}
	sink, err := cfg.OpenSink(zerolog.Nop())
	if err != nil {
		return err
	}
	defer sink.Close()
	if _, err := sink.Info(ctx); err != nil {
		return fmt.Errorf("connect to sink: %w", err)
	}
	f, err := sink.Foreign(ctx, alias)
	switch {
	case err != nil:
		return fmt.Errorf("look at %s: %w", alias, err)
	case f == nil:
		_, err := fmt.Fprintf(out, "nothing to adopt: %s is this pipeline's, or does not exist\n", alias)
		return err
	case f.Cannot != "":
		return fmt.Errorf("%s cannot be adopted: %s", alias, f.Cannot)
	}
	if _, err := io.WriteString(out, announceAdoption(f, tables)); err != nil || options.DryRun {
		return err
	}
	if err := confirm(options.Yes, options.In, "adopted", out); err != nil {
		return err
	}
	a, err := builds.LoadAdoptions(ctx, sink, cfg.Name)
	if err == nil {
		err = a.Set(ctx, alias, true)
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, "adopted: the daemon does it once the new index is loaded; start it with `haystream run` where it does not run\n")
	return err
}

// adoptable finds the alias of a definition, by its name or the alias, and the tables that
// documents are made of.
func adoptable(cfg *config.Config, name string) (alias string, tables []string, err error) {
	if alias, err = findIndex(cfg, name); err != nil {
		return "", nil, err
	}
	set := cfg.Set()
	for _, definition := range slices.Sorted(maps.Keys(set.Indexes)) {
		if set.Alias(definition) != alias {
			continue
		}
		d := set.Indexes[definition]
		if d.Appends() {
			return "", nil, errors.New("an index with mode: append, or over events, is not adopted: documents whose rows are gone would not be in the new one; give the definition another name, and copy them with Elasticsearch's _reindex")
		}
		if !slices.Contains(tables, d.Table) {
			tables = append(tables, d.Table)
		}
	}
	return alias, tables, nil
}

// announceAdoption says what will be done, for people.
func announceAdoption(f *sinks.Foreign, tables []string) string {
	var b strings.Builder
	indexes := strings.Join(f.Indexes, ", ")
	if f.Index {
		fmt.Fprintf(&b, "%s is an index %s, with %s\n", f.Alias, f.By, count(int(f.Documents), "document", "documents"))
	} else {
		fmt.Fprintf(&b, "%s is an alias that leads to %s, %s, with %s\n", f.Alias, indexes, f.By, count(int(f.Documents), "document", "documents"))
	}
	fmt.Fprintf(&b, "will build %s-<time> of %s beside it; searches go on in what is there until that is loaded\n", f.Alias, strings.Join(tables, ", "))
	if f.Index {
		fmt.Fprintf(&b, "will then refuse writes to the index %s, and copy it as it is to %s\n", f.Alias, f.Kept)
		fmt.Fprintf(&b, "will then put the alias %s in its place, in one step\n", f.Alias)
		indexes = f.Kept
	} else {
		fmt.Fprintf(&b, "will then point the alias there, in one step; a filter or routing of the alias goes\n")
	}
	fmt.Fprintf(&b, "will keep all that was there in %s, also what no row gives; delete it when nobody needs it\n", indexes)
	fmt.Fprintf(&b, "what other programs write to %s is refused from then on: have them stop\n", f.Alias)
	return b.String()
}
