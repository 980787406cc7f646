package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"haystream/sinks"
)

// Amend implements sinks.Sink. Settings go first, since fields may need them.
// Those that Finish restores are left to it.
func (s *Sink) Amend(ctx context.Context, physical string, was, want sinks.IndexSpec) (refused string, err error) {
	all, err := s.family(ctx, physical)
	if err != nil {
		return "", err
	}
	if all[physical] == nil {
		return "", fmt.Errorf("amend index %s: there is none", physical)
	}
	for _, origin := range want.Keep {
		if want.Mappings, err = s.keepFields(ctx, want.Mappings, origin, false); err != nil {
			return "", err
		}
	}
	// What one takes all take: their mappings are the same.
	for _, name := range append([]string{physical}, periods(all, physical)...) {
		if refused, err = s.amend(ctx, name, all[name], was, want); refused != "" || err != nil {
			return refused, err
		}
	}
	return "", nil
}

func (s *Sink) amend(ctx context.Context, physical string, e *existing, was, want sinks.IndexSpec) (refused string, err error) {
	settings, serving, err := s.changedSettings(was.Settings, want.Settings, e.Mappings.Meta.Haystream.Serving)
	if err != nil {
		return "", fmt.Errorf("amend index %s: read settings: %w", physical, err)
	}
	mappings, err := markedMappings(want.Mappings, &mark{Owner: s.opts.Owner, Definition: want.Meta, Serving: serving})
	if err != nil {
		return "", fmt.Errorf("amend index %s: %w", physical, err)
	}
	path := "/" + url.PathEscape(physical)
	for _, change := range []struct {
		path string
		body any
		none bool
	}{{"/_settings", settings, len(settings) == 0}, {"/_mapping", mappings, false}} {
		if change.none {
			continue
		}
		body, err := json.Marshal(change.body)
		if err != nil {
			return "", err
		}
		err = s.client.call(ctx, http.MethodPut, path+change.path, body, nil)
		var e *apiError
		switch {
		case errors.As(err, &e) && e.Status == http.StatusBadRequest:
			return e.Reason, nil
		case err != nil:
			return "", fmt.Errorf("amend index %s: %w", physical, err)
		}
	}
	return "", nil
}

// changedSettings are those that differ between two configurations, null for one
// that is configured no more, and what Finish restores from now on.
func (s *Sink) changedSettings(was, want json.RawMessage, restored map[string]json.RawMessage) (changed, serving map[string]json.RawMessage, err error) {
	before, err := s.settings(was)
	if err != nil {
		return nil, nil, err
	}
	after, err := s.settings(want)
	if err != nil {
		return nil, nil, err
	}
	null := json.RawMessage("null")
	changed, serving = map[string]json.RawMessage{}, map[string]json.RawMessage{}
	for key, value := range after {
		if !bytes.Equal(before[key], value) {
			changed[key] = value
		}
	}
	for key := range before {
		if _, ok := after[key]; !ok {
			changed[key] = null
		}
	}
	for key := range restored {
		delete(changed, key)
		serving[key] = null
		if value, ok := after[key]; ok {
			serving[key] = value
		}
	}
	return changed, serving, nil
}

// settings are configured ones by their whole names, with those that indexes get anyway.
func (s *Sink) settings(text json.RawMessage) (map[string]json.RawMessage, error) {
	settings := map[string]json.RawMessage{}
	if len(text) > 0 {
		if err := flatten(settings, "index", text); err != nil {
			return nil, err
		}
	}
	if _, ok := settings[tombstones]; !ok && !s.server.serverless {
		settings[tombstones] = json.RawMessage(longTombstones)
	}
	return settings, nil
}

// keepFields adds to mappings the fields that an index has beyond them, so that its
// documents fit. hidden: they are kept in the documents, and not to be searched.
func (s *Sink) keepFields(ctx context.Context, mappings json.RawMessage, physical string, hidden bool) (json.RawMessage, error) {
	var found map[string]struct {
		Mappings fields `json:"mappings"`
	}
	err := s.client.call(ctx, http.MethodGet, "/"+url.PathEscape(physical)+"/_mapping", nil, &found)
	if isType(err, indexNotFound) {
		return mappings, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read mapping of index %s: %w", physical, err)
	}
	own := fields{}
	if len(mappings) > 0 {
		if err := json.Unmarshal(mappings, &own); err != nil {
			return nil, fmt.Errorf("read mappings: %w", err)
		}
	}
	if err := own.keep(found[physical].Mappings, hidden); err != nil {
		return nil, fmt.Errorf("read mapping of index %s: %w", physical, err)
	}
	return json.Marshal(own)
}

// fields is an object of a mapping, or the whole of one.
type fields map[string]json.RawMessage

var hiddenField = json.RawMessage(`{"type":"object","enabled":false}`)

func (f fields) properties() (map[string]json.RawMessage, error) {
	found := map[string]json.RawMessage{}
	if text := f["properties"]; len(text) > 0 {
		if err := json.Unmarshal(text, &found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// keep adds the properties of another object that this one lacks.
func (f fields) keep(other fields, hidden bool) error {
	have, err := f.properties()
	if err != nil {
		return err
	}
	theirs, err := other.properties()
	if err != nil {
		return err
	}
	if len(theirs) == 0 {
		return nil
	}
	for name, field := range theirs {
		switch own, ok := have[name]; {
		case !ok && hidden:
			have[name] = hiddenField
		case !ok:
			have[name] = field
		default:
			var below, their fields
			if err := errors.Join(json.Unmarshal(own, &below), json.Unmarshal(field, &their)); err != nil {
				return err
			}
			if len(below["properties"]) == 0 || len(their["properties"]) == 0 {
				continue
			}
			if err := below.keep(their, hidden); err != nil {
				return err
			}
			merged, err := json.Marshal(below)
			if err != nil {
				return err
			}
			have[name] = merged
		}
	}
	properties, err := json.Marshal(have)
	f["properties"] = properties
	return err
}
