package elasticsearch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"haystream/sinks"
)

// Foreign implements sinks.Sink.
func (s *Sink) Foreign(ctx context.Context, alias string) (*sinks.Foreign, error) {
	found, err := s.lookup(ctx, alias)
	if err != nil {
		return nil, err
	}
	f := &sinks.Foreign{Alias: alias}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		e := found[name]
		if e.owner() == s.opts.Owner {
			continue
		}
		f.Indexes = append(f.Indexes, name)
		f.By = strings.TrimSpace(madeBy(e))
		_, leads := e.alias(alias)
		switch {
		case name == alias:
			f.Index = true
			f.Kept = keptName(alias, e)
			if others := slices.Sorted(maps.Keys(e.Aliases)); len(others) > 0 {
				f.Cannot = fmt.Sprintf("the aliases %s lead to it, and would go with it; point them elsewhere first", strings.Join(others, ", "))
			}
		case !leads:
			f.Cannot = alias + " is a data stream, or something else that is neither an index nor an alias"
		}
		var counted struct{ Count int64 }
		if err := s.client.call(ctx, http.MethodGet, "/"+url.PathEscape(name)+"/_count", nil, &counted); err != nil {
			return nil, explained("count the documents of "+name, err)
		}
		f.Documents += counted.Count
	}
	if len(f.Indexes) == 0 {
		return nil, nil
	}
	return f, nil
}

// keptName is what keeps the documents of an index whose name becomes an alias: another one
// for each index that ever bears the name.
func keptName(alias string, e *existing) string {
	mark := strings.ToLower(strings.Map(func(r rune) rune {
		if r == '-' || r == '_' {
			return -1
		}
		return r
	}, e.Settings.Index.UUID))
	return alias + "-before-" + mark[:min(8, len(mark))]
}

// Take implements sinks.Sink.
func (s *Sink) Take(ctx context.Context, alias, physical string) (kept []string, err error) {
	f, err := s.Foreign(ctx, alias)
	switch {
	case err != nil:
		return nil, err
	case f == nil:
		return nil, s.Swap(ctx, alias, physical)
	case f.Cannot != "":
		return nil, fmt.Errorf("%w: %s", sinks.ErrForeign, f.Cannot)
	}
	actions := []aliasAction{{Add: &aliasTarget{Index: physical, Alias: alias, Writes: forReaders}}}
	kept = f.Indexes
	if f.Index {
		if err := s.keep(ctx, alias, f.Kept); err != nil {
			return nil, err
		}
		kept = []string{f.Kept}
		actions = append(actions, aliasAction{RemoveIndex: &indexTarget{Index: alias}})
	} else {
		found, err := s.lookup(ctx, alias) // also those of this pipeline
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(found)) {
			if name != physical {
				actions = append(actions, aliasAction{Remove: &aliasTarget{Index: name, Alias: alias}})
			}
		}
	}
	if err := s.alter(ctx, actions...); err != nil {
		return nil, explained(fmt.Sprintf("put the alias %s in the place of %s", alias, strings.Join(f.Indexes, ", ")), err)
	}
	return kept, nil
}

// keep copies an index as it is, once nothing is written to it any more: by links to its files, where
// the file system has such. It is to be called again until it has no error.
func (s *Sink) keep(ctx context.Context, index, as string) error {
	path := "/" + url.PathEscape(index)
	if err := s.client.call(ctx, http.MethodPut, path+"/_settings", []byte(`{"index.blocks.write":true}`), nil); err != nil {
		return explained("refuse writes to index "+index, err)
	}
	err := s.client.call(ctx, http.MethodPost, path+"/_clone/"+url.PathEscape(as)+"?wait_for_active_shards=0", []byte(`{}`), nil)
	if err != nil && !isType(err, alreadyExists) {
		return explained("copy index "+index+" to "+as, err)
	}
	var health struct {
		Status string `json:"status"`
	}
	if err := s.client.call(ctx, http.MethodGet, "/_cluster/health/"+url.PathEscape(as)+"?timeout=1s", nil, &health); err != nil {
		return explained("wait for index "+as, err)
	}
	if health.Status != "yellow" && health.Status != "green" {
		return fmt.Errorf("index %s is being copied to %s", index, as)
	}
	var counts [2]struct{ Count int64 }
	for i, name := range []string{index, as} {
		path := "/" + url.PathEscape(name)
		if err := errors.Join(s.client.call(ctx, http.MethodPost, path+"/_refresh", nil, nil), s.client.call(ctx, http.MethodGet, path+"/_count", nil, &counts[i])); err != nil {
			return explained("count the documents of "+name, err)
		}
	}
	if counts[0] != counts[1] {
		return fmt.Errorf("index %s has %d documents, and %s, which is to keep them, has %d; delete the latter", index, counts[0].Count, as, counts[1].Count)
	}
	return nil
}
