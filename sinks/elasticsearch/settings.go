package elasticsearch

import (
	"encoding/json"
	"fmt"
	"strings"

	"haystream/sinks"
)

// createBody is the request that makes a physical index. While it is loaded it
// has no replicas, and no refresh unless people search it meanwhile; what that
// replaces is kept in the mark for Finish.
func createBody(spec *sinks.IndexSpec, owner string, serverless bool) ([]byte, error) {
	settings := map[string]json.RawMessage{}
	if len(spec.Settings) > 0 {
		if err := flatten(settings, "index", spec.Settings); err != nil {
			return nil, fmt.Errorf("read settings: %w", err)
		}
	}
	m := mark{Owner: owner, Definition: spec.Meta, Serving: map[string]json.RawMessage{}}
	if !serverless {
		tuneForLoading(settings, m.Serving, spec.Serve)
	}
	mappings, err := markedMappings(spec.Mappings, &m)
	if err != nil {
		return nil, err
	}
	aliases := map[string]aliasState{sinks.WriteAlias(spec.Physical): {}}
	if spec.Serve {
		aliases[spec.Alias] = aliasState{Writes: forReaders}
	}
	return json.Marshal(map[string]any{"settings": settings, "aliases": aliases, "mappings": mappings})
}

// markedMappings puts the mark into the _meta of mappings.
func markedMappings(text json.RawMessage, m *mark) (map[string]json.RawMessage, error) {
	mappings := map[string]json.RawMessage{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &mappings); err != nil {
			return nil, fmt.Errorf("read mappings: %w", err)
		}
	}
	meta := map[string]any{}
	if given, ok := mappings["_meta"]; ok {
		if err := json.Unmarshal(given, &meta); err != nil {
			return nil, fmt.Errorf("read _meta of mappings: %w", err)
		}
	}
	meta["haystream"] = m
	marked, err := json.Marshal(meta)
	if err != nil {
		return nil, err
	}
	mappings["_meta"] = marked
	return mappings, nil
}

const (
	refreshInterval = "index.refresh_interval"
	replicas        = "index.number_of_replicas"
	autoReplicas    = "index.auto_expand_replicas"
	tombstones      = "index.gc_deletes"

	longTombstones = `"1h"` // where none are configured
)

// tuneForLoading replaces settings, and puts into serving what Finish restores.
func tuneForLoading(settings, serving map[string]json.RawMessage, serve bool) {
	replace := func(key, value string) {
		serving[key] = settings[key]
		if serving[key] == nil {
			serving[key] = json.RawMessage("null")
		}
		settings[key] = json.RawMessage(value)
	}
	if !serve {
		replace(refreshInterval, `"-1"`)
	}
	if _, ok := settings[autoReplicas]; !ok {
		replace(replicas, "0")
	}
	if _, ok := settings[tombstones]; !ok {
		settings[tombstones] = json.RawMessage(longTombstones)
	}
}

// flatten writes an object of settings as dotted names that start with prefix,
// so that one setting has one name however it was written.
func flatten(dst map[string]json.RawMessage, prefix string, value json.RawMessage) error {
	var object map[string]json.RawMessage
	if value[0] != '{' {
		dst[prefix] = value
		return nil
	}
	if err := json.Unmarshal(value, &object); err != nil {
		return err
	}
	for key, v := range object {
		if prefix == "index" {
			if key == "index" {
				if err := flatten(dst, "index", v); err != nil {
					return err
				}
				continue
			}
			key = strings.TrimPrefix(key, "index.")
		}
		if err := flatten(dst, prefix+"."+key, v); err != nil {
			return err
		}
	}
	return nil
}
