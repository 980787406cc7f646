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
	} `json:"mappings"`
	Settings struct {
		Index struct {
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
	for name, e := range found {
		if name == alias || e.owner() != s.opts.Owner {
			return nil, foreign(alias, name, e)
		}
	}
	newest := slices.Max(slices.Collect(maps.Keys(found))) // of several that are ours; who looks at them all leaves one
	return found[newest].index(alias, newest), nil
}

// foreign says that an index has the alias's name, or that the alias leads to one
// that is not this pipeline's. The remedy deletes nothing.
func foreign(alias, name string, e *existing) error {
	if name == alias {
		return fmt.Errorf("%w: %s is an index%s, and the alias of that name cannot be made; set `index:` in the definition to another name; haystream deletes nothing that it did not make",
			sinks.ErrForeign, alias, madeBy(e))
	}
	return fmt.Errorf(`%w: the alias %s points to the index %s%s; set `+"`index:`"+` in the definition to another name, or take the alias over with POST /_aliases {"actions":[{"remove":{"index":%q,"alias":%q}}]}`,
		sinks.ErrForeign, alias, name, madeBy(e), name, alias)
}

func madeBy(e *existing) string {
	if owner := e.owner(); owner != "" {
		return fmt.Sprintf(" made by the pipeline %q", owner)
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
		case serving != nil && serving.Physical != spec.Physical:
			return nil, fmt.Errorf("create index %s: the alias %s serves %s already", spec.Physical, spec.Alias, serving.Physical)
		}
	}
	err := s.putIndex(ctx, spec, false)
	if spec.Keep != "" && errors.Is(err, sinks.ErrRefused) {
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
	if spec.Keep != "" {
		spec.Mappings, err = s.keepFields(ctx, spec.Mappings, spec.Keep, hidden)
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
	e, err := s.own(ctx, physical)
	if err != nil {
		return err
	}
	if e == nil {
		return fmt.Errorf("finish index %s: there is none", physical)
	}
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

// An aliasAction is one step of a change of aliases.
type aliasAction struct {
	Add    *aliasTarget `json:"add,omitempty"`
	Remove *aliasTarget `json:"remove,omitempty"`
}

type aliasTarget struct {
	Index string `json:"index"`
	Alias string `json:"alias"`
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
	actions := []aliasAction{{Add: &aliasTarget{Index: physical, Alias: alias}}}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		switch e := found[name]; {
		case name == alias, e.owner() != s.opts.Owner:
			return foreign(alias, name, e)
		case name != physical:
			actions = append(actions, aliasAction{Remove: &aliasTarget{Index: name, Alias: alias}})
		}
	}
	if err := s.alter(ctx, actions...); err != nil {
		return fmt.Errorf("point alias %s to %s: %w", alias, physical, err)
	}
	return nil
}

// Drop implements sinks.Sink.
func (s *Sink) Drop(ctx context.Context, physical string) error {
	e, err := s.own(ctx, physical)
	if err != nil {
		return err
	}
	if e != nil {
		err := s.client.call(ctx, http.MethodDelete, "/"+url.PathEscape(physical), nil, nil)
		if err != nil && !isType(err, indexNotFound) {
			return fmt.Errorf("delete index %s: %w", physical, err)
		}
	}
	if err := s.dropLetters(ctx, physical); err != nil {
		return fmt.Errorf("delete dead letters of index %s: %w", physical, err)
	}
	return nil
}
