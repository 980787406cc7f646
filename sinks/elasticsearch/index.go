package elasticsearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"haystream/sinks"
)

const (
	alreadyExists    = "resource_already_exists_exception"
	invalidAliasName = "invalid_alias_name_exception"
)

// mark is what the sink leaves in the _meta of an index that it makes.
type mark struct {
	Owner      string                     `json:"owner"`
	Definition json.RawMessage            `json:"definition,omitempty"` // what IndexSpec.Meta said
	Serving    map[string]json.RawMessage `json:"serving,omitempty"`    // settings that Finish restores
}

// An existing index, as GET /name tells of it.
type existing struct {
	Aliases  map[string]json.RawMessage `json:"aliases"`
	Mappings struct {
		Meta struct {
			Haystream *mark `json:"haystream"`
		} `json:"_meta"`
		Properties struct {
			DjangoCT json.RawMessage `json:"django_ct"`
		} `json:"properties"`
	} `json:"mappings"`
	Settings struct {
		Index struct {
			Shards string            `json:"number_of_shards"`
			UUID   string            `json:"uuid"`
			Blocks map[string]string `json:"blocks"`
			Closed string            `json:"verified_before_close"`
		} `json:"index"`
	} `json:"settings"`
}

// owner is the pipeline that made the index; empty where none did.
func (e *existing) owner() string {
	if m := e.Mappings.Meta.Haystream; m != nil {
		return m.Owner
	}
	return ""
}

func (e *existing) index(alias, physical string) *sinks.Index {
	return &sinks.Index{Alias: alias, Physical: physical, UUID: e.Settings.Index.UUID, Meta: e.Mappings.Meta.Haystream.Definition}
}

// lookup returns the indexes that an index's or alias's name stands for, by
// their own names; none where there is no such name.
func (s *Sink) lookup(ctx context.Context, name string) (map[string]*existing, error) {
	found := map[string]*existing{}
	err := s.client.call(ctx, http.MethodGet, "/"+url.PathEscape(name), nil, &found)
	if isType(err, indexNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", name, err)
	}
	return found, nil
}

// Index implements sinks.Sink.
func (s *Sink) Index(ctx context.Context, alias string) (*sinks.Index, error) {
	found, err := s.lookup(ctx, alias)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	if err := s.foreign(alias, found); err != nil {
		return nil, err
	}
	// Of several that are ours, who looks at them all leaves one.
	newest := ""
	for name := range found {
		if sinks.IsPhysical(alias, name) || !sinks.Belongs(name, maps.Keys(found)) {
			newest = max(newest, name)
		}
	}
	return found[newest].index(alias, newest), nil
}

// family are a physical index of this pipeline and those of its periods, by their
// names; none where it is gone and they are.
func (s *Sink) family(ctx context.Context, physical string) (map[string]*existing, error) {
	found := map[string]*existing{}
	e, err := s.own(ctx, physical)
	if err != nil {
		return nil, err
	}
	if e != nil {
		found[physical] = e
	}
	pattern := sinks.Periods(physical)
	if pattern == "" {
		return found, nil
	}
	parts := map[string]*existing{}
	if err := s.client.call(ctx, http.MethodGet, "/"+url.PathEscape(pattern)+"?expand_wildcards=all", nil, &parts); err != nil {
		return nil, fmt.Errorf("look up the periods of index %s: %w", physical, err)
	}
	for name, e := range parts {
		if sinks.PeriodOf(physical, name) != "" && e.owner() == s.opts.Owner {
			found[name] = e
		}
	}
	return found, nil
}

// periods are the names of a family but for the physical index itself.
func periods(family map[string]*existing, physical string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(family)), func(name string) bool { return name == physical })
}

// foreign says that an index has the alias's name, or that the alias leads to some
// that are not this pipeline's; nil where neither is so. The remedy deletes nothing, and searches find all meanwhile.
func (s *Sink) foreign(alias string, found map[string]*existing) error {
	var names, removals []string
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if name == alias || found[name].owner() != s.opts.Owner {
			names = append(names, name)
			removals = append(removals, fmt.Sprintf(`{"remove":{"index":%q,"alias":%q}}`, name, alias))
		}
	}
	if len(names) == 0 {
		return nil
	}
	e := found[names[0]]
	searches := "have searches use that"
	if e.isHaystack() {
		searches = "set INDEX_NAME in HAYSTACK_CONNECTIONS to that"
	}
	remedy := fmt.Sprintf("set `index:` in the definition to another name, such as %s-live, and %s once `haystream status` says that it is loaded; or take its place with `haystream adopt`, which says first what it does", alias, searches)
	if names[0] == alias {
		return fmt.Errorf("%w: %s is an index%s, and the alias of that name cannot be made; %s; haystream leaves this one as it is",
			sinks.ErrForeign, alias, madeBy(e), remedy)
	}
	which, there := "the index", "that index, which keeps its documents"
	if len(names) > 1 {
		which, there = "the indexes", "those indexes, which keep their documents"
	}
	return fmt.Errorf(`%w: the alias %s points to %s %s%s; %s; or, where searches may find little until it is loaded, take the alias away from %s, with POST /_aliases {"actions":[%s]}`,
		sinks.ErrForeign, alias, which, strings.Join(names, ", "), madeBy(e), remedy, there, strings.Join(removals, ","))
}

// isHaystack reports whether an index has the field that django-haystack finds its models by,
// and haystream has not made it.
func (e *existing) isHaystack() bool { return e.owner() == "" && e.Mappings.Properties.DjangoCT != nil }

func madeBy(e *existing) string {
	if owner := e.owner(); owner != "" {
		return fmt.Sprintf(" made by the pipeline %q", owner)
	}
	if e.isHaystack() {
		return " made by django-haystack"
	}
	return " not made by haystream"
}

// own returns a physical index of this pipeline; nil where there is none.
func (s *Sink) own(ctx context.Context, physical string) (*existing, error) {
	found, err := s.lookup(ctx, physical)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	e := found[physical]
	if e == nil {
		return nil, fmt.Errorf("%w: %s is an alias, not an index", sinks.ErrForeign, physical)
	}
	if e.owner() != s.opts.Owner {
		return nil, fmt.Errorf("%w: index %s%s", sinks.ErrForeign, physical, madeBy(e))
	}
	return e, nil
}

// Create implements sinks.Sink. An index of that name that is this pipeline's
// already is what an earlier try, whose answer was lost, has made.
func (s *Sink) Create(ctx context.Context, spec sinks.IndexSpec) (*sinks.Index, error) {
	if spec.Serve {
		switch serving, err := s.Index(ctx, spec.Alias); {
		case err != nil:
			return nil, err
		case serving != nil && serving.Physical != spec.Physical && sinks.PeriodOf(serving.Physical, spec.Physical) == "" && sinks.PeriodOf(spec.Physical, serving.Physical) == "":
			return nil, fmt.Errorf("create index %s: the alias %s serves %s already", spec.Physical, spec.Alias, serving.Physical)
		}
	}
	err := s.putIndex(ctx, spec, false)
	if len(spec.Keep) > 0 && errors.Is(err, sinks.ErrRefused) {
		s.log.Warn().Err(err).Str("physical", spec.Physical).Msg("fields that the definition has no more cannot be mapped as before: documents keep them, and they cannot be searched")
		err = s.putIndex(ctx, spec, true)
	}
	if err != nil {
		return nil, err
	}
	made, err := s.own(ctx, spec.Physical)
	if err != nil {
		return nil, err
	}
	if made == nil {
		return nil, fmt.Errorf("create index %s: it is gone again", spec.Physical)
	}
	return made.index(spec.Alias, spec.Physical), nil
}

// putIndex makes the index, if there is none yet. hidden: fields that it keeps of
// another one cannot be searched.
func (s *Sink) putIndex(ctx context.Context, spec sinks.IndexSpec, hidden bool) error {
	var err error
	for _, origin := range spec.Keep {
		if err == nil {
			spec.Mappings, err = s.keepFields(ctx, spec.Mappings, origin, hidden)
		}
	}
	var body []byte
	if err == nil {
		body, err = createBody(&spec, s.opts.Owner, s.server.serverless)
	}
	if err != nil {
		return fmt.Errorf("create index %s: %w", spec.Physical, err)
	}
	err = s.client.call(ctx, http.MethodPut, "/"+url.PathEscape(spec.Physical), body, nil)
	var e *apiError
	switch {
	case err == nil || isType(err, alreadyExists):
		return nil
	case isType(err, invalidAliasName):
		return fmt.Errorf("%w: an index has the name of the alias %s or %s", sinks.ErrForeign, spec.Alias, sinks.WriteAlias(spec.Physical))
	case errors.As(err, &e) && e.Status == http.StatusBadRequest:
		return fmt.Errorf("create index %s: %w: %s", spec.Physical, sinks.ErrRefused, e.Reason)
	}
	return fmt.Errorf("create index %s: %w", spec.Physical, err)
}

// Finish implements sinks.Sink.
func (s *Sink) Finish(ctx context.Context, physical string) error {
	all, err := s.family(ctx, physical)
	if err != nil {
		return err
	}
	if all[physical] == nil {
		return fmt.Errorf("finish index %s: there is none", physical)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := s.finish(ctx, name, all[name]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sink) finish(ctx context.Context, physical string, e *existing) error {
	path := "/" + url.PathEscape(physical)
	if serving := e.Mappings.Meta.Haystream.Serving; len(serving) > 0 {
		body, err := json.Marshal(serving)
		if err != nil {
			return err
		}
		if err := s.client.call(ctx, http.MethodPut, path+"/_settings", body, nil); err != nil {
			return fmt.Errorf("restore settings of index %s: %w", physical, err)
		}
	}
	if err := s.client.call(ctx, http.MethodPost, path+"/_refresh", nil, nil); err != nil {
		return fmt.Errorf("refresh index %s: %w", physical, err)
	}
	return nil
}

// mergeTimeout bounds one request to merge; the server goes on after it, and the next one waits for that.
const mergeTimeout = time.Hour

// Merge implements sinks.Sink.
func (s *Sink) Merge(ctx context.Context, physical string) (refused string, err error) {
	if e, err := s.own(ctx, physical); err != nil || e == nil {
		return "the index is gone", err
	}
	path := "/" + url.PathEscape(physical) + "/_forcemerge?max_num_segments=1"
	err = s.client.within(ctx, mergeTimeout, http.MethodPost, path, nil, nil)
	e, answered := errors.AsType[*apiError](err)
	if answered && e.Status/100 == 4 && e.Status != http.StatusTooManyRequests && e.Status != http.StatusRequestTimeout {
		return e.Error(), nil
	}
	if err != nil {
		return "", fmt.Errorf("merge segments of index %s: %w", physical, err)
	}
	return "", nil
}

// An aliasAction is one step of a change of aliases.
type aliasAction struct {
	Add    *aliasTarget `json:"add,omitempty"`
	Remove *aliasTarget `json:"remove,omitempty"`

	RemoveIndex *indexTarget `json:"remove_index,omitempty"`
}

type indexTarget struct {
	Index string `json:"index"`
}

type aliasTarget struct {
	Index  string `json:"index"`
	Alias  string `json:"alias"`
	Writes *bool  `json:"is_write_index,omitempty"`
}

// alter changes aliases, all in one step.
func (s *Sink) alter(ctx context.Context, actions ...aliasAction) error {
	body, err := json.Marshal(map[string]any{"actions": actions})
	if err != nil {
		return err
	}
	return s.client.call(ctx, http.MethodPost, "/_aliases", body, nil)
}

// Swap implements sinks.Sink. It takes the alias from this pipeline's indexes only.
func (s *Sink) Swap(ctx context.Context, alias, physical string) error {
	found, err := s.lookup(ctx, alias)
	if err != nil {
		return err
	}
	to := []string{physical}
	readers := alias != sinks.WriteAlias(physical) // else it is the index's own that is set right
	if readers {
		all, err := s.family(ctx, physical)
		if err != nil {
			return err
		}
		to = append(to, periods(all, physical)...)
	}
	var actions []aliasAction
	for _, name := range to {
		add := &aliasTarget{Index: name, Alias: alias}
		if readers {
			add.Writes = forReaders
		}
		actions = append(actions, aliasAction{Add: add})
	}
	if err := s.foreign(alias, found); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if !slices.Contains(to, name) {
			actions = append(actions, aliasAction{Remove: &aliasTarget{Index: name, Alias: alias}})
		}
	}
	if err := s.alter(ctx, actions...); err != nil {
		return fmt.Errorf("point alias %s to %s: %w", alias, physical, err)
	}
	return nil
}

// Shelve implements sinks.Sink.
func (s *Sink) Shelve(ctx context.Context, physical string) error {
	if err := s.dropLetters(ctx, physical); err != nil {
		return fmt.Errorf("delete dead letters of index %s: %w", physical, err)
	}
	return nil
}

// Drop implements sinks.Sink. The index goes last: what is left is found by it.
func (s *Sink) Drop(ctx context.Context, physical string) error {
	all, err := s.family(ctx, physical)
	if err != nil {
		return err
	}
	for _, name := range periods(all, physical) {
		if err := s.drop(ctx, name, true); err != nil {
			return err
		}
	}
	return s.drop(ctx, physical, all[physical] != nil)
}

func (s *Sink) drop(ctx context.Context, physical string, stands bool) error {
	if stands {
		err := s.client.call(ctx, http.MethodDelete, "/"+url.PathEscape(physical), nil, nil)
		if err != nil && !isType(err, indexNotFound) {
			return fmt.Errorf("delete index %s: %w", physical, err)
		}
	}
	return s.Shelve(ctx, physical)
}
