package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strings"

	"haystream/internal/preflight"
	"haystream/sinks"
)

// probe asks whether the server would make an index, and makes none: it
// simulates a template of the same settings and mappings, which goes through all
// that the making of an index does (Elasticsearch documentation, "Simulate index
// template API"). Without the right to that, the fields are counted here.
func (s *Sink) probe(ctx context.Context, spec *sinks.IndexSpec) ([]preflight.Finding, error) {
	template := object{}
	for key, raw := range map[string]json.RawMessage{"mappings": spec.Mappings, "settings": spec.Settings} {
		var value object
		if len(raw) > 0 && json.Unmarshal(raw, &value) != nil {
			return nil, fmt.Errorf("read %s of index %s", key, spec.Alias)
		}
		template[key] = value
	}
	flattenSettings(template)
	others, err := s.templates(ctx, spec.Alias+"-probe")
	if err != nil {
		return nil, err
	}
	template = laid(others, template)
	question, err := json.Marshal(object{"index_patterns": []string{"haystream-probe-*"}, "template": template})
	if err != nil {
		return nil, err
	}
	findings, err := s.checkPipelines(ctx, spec, template)
	if err != nil {
		return nil, err
	}
	streams, err := s.checkDataStreams(ctx, spec.Alias)
	if err != nil {
		return nil, err
	}
	findings = append(findings, streams...)
	err = s.client.call(ctx, http.MethodPost, "/_index_template/_simulate", question, nil)
	var e *apiError
	switch {
	case err == nil:
	case !errors.As(err, &e):
		return nil, fmt.Errorf("try settings and mapping of index %s: %w", spec.Alias, err)
	case e.Status == http.StatusBadRequest:
		findings = append(findings, refused(spec.Alias, e.cause(), template))
	default: // it may not be asked
		if f, over := tooManyFields(spec.Alias, template); over {
			findings = append(findings, f)
		}
	}
	return findings, nil
}

// object is a decoded JSON object.
type object = map[string]any

// templates is what the server's own templates would give an index of that name.
func (s *Sink) templates(ctx context.Context, name string) (object, error) {
	var composed struct {
		Template object `json:"template"`
	}
	var old map[string]struct {
		Patterns []string `json:"index_patterns"`
		Order    int      `json:"order"`
		Settings object   `json:"settings"`
		Mappings object   `json:"mappings"`
	}
	for _, ask := range []struct {
		method, path string
		out          any
	}{
		{http.MethodPost, "/_index_template/_simulate_index/" + url.PathEscape(name), &composed},
		{http.MethodGet, "/_template", &old},
	} {
		err := s.client.call(ctx, ask.method, ask.path, nil, ask.out)
		if _, answered := errors.AsType[*apiError](err); err != nil && !answered {
			return nil, fmt.Errorf("look at index templates: %w", err)
		}
	}
	if composed.Template != nil { // older templates then do not count
		delete(composed.Template, "aliases")
		flattenSettings(composed.Template)
		return composed.Template, nil
	}
	all := object{}
	names := make([]string, 0, len(old))
	for name := range old {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return old[a].Order - old[b].Order })
	for _, n := range names {
		t := old[n]
		if slices.ContainsFunc(t.Patterns, func(p string) bool { ok, _ := path.Match(p, name); return ok }) {
			one := object{"settings": t.Settings, "mappings": t.Mappings}
			flattenSettings(one)
			all = laid(all, one)
		}
	}
	return all, nil
}

// flattenSettings writes a template's settings as dotted names.
func flattenSettings(template object) {
	flat := object{}
	var walk func(prefix string, o object)
	walk = func(prefix string, o object) {
		for k, v := range o {
			name := prefix + "." + k
			if prefix == "index" && (k == "index" || strings.HasPrefix(k, "index.")) {
				name = k
			}
			if inner, ok := v.(object); ok {
				walk(name, inner)
				continue
			}
			flat[name] = v
		}
	}
	settings, _ := template["settings"].(object)
	walk("index", settings)
	template["settings"] = flat
}

// laid is an object with another one over it.
func laid(under, over object) object {
	all := object{}
	for _, o := range []object{under, over} {
		for k, v := range o {
			inner, ok := v.(object)
			before, had := all[k].(object)
			if ok && had {
				v = laid(before, inner)
			}
			all[k] = v
		}
	}
	return all
}

// cause is the innermost reason of an answer.
func (e *apiError) cause() string {
	var shape struct {
		Error struct {
			Reason string          `json:"reason"`
			Cause  json.RawMessage `json:"caused_by"`
		} `json:"error"`
	}
	reason := e.Reason
	if json.Unmarshal(e.Body, &shape) != nil {
		return reason
	}
	for next := shape.Error.Cause; len(next) > 0; {
		var cause struct {
			Reason string          `json:"reason"`
			Cause  json.RawMessage `json:"caused_by"`
		}
		if json.Unmarshal(next, &cause) != nil || cause.Reason == "" {
			break
		}
		reason, next = cause.Reason, cause.Cause
	}
	if _, inner, ok := strings.Cut(reason, "invalid, cause ["); ok { // around the template's made-up name
		reason = strings.TrimSuffix(inner, "]")
	}
	reason = strings.TrimSuffix(strings.TrimSpace(reason), ";")
	return strings.TrimPrefix(reason, "Validation Failed: 1: ")
}

// refused is the finding for an index that the server would not make.
func refused(alias, reason string, template object) preflight.Finding {
	f := preflight.Finding{
		Level: preflight.Error, Subject: "index " + alias,
		Text: "the server refuses its mapping or settings: " + reason, Remedy: "correct mapping, type or settings in the definition",
	}
	counts := countFields(template)
	for what, limit := range map[string]string{"total fields": totalFields, "nested fields": nestedFields, "mapping depth": mappingDepth} {
		if strings.Contains(reason, what) {
			f.Remedy = raise(limit, counts[limit])
		}
	}
	return f
}

// Settings that bound a mapping.
const (
	totalFields  = "index.mapping.total_fields.limit"
	nestedFields = "index.mapping.nested_fields.limit"
	mappingDepth = "index.mapping.depth.limit"
)

// raise is the setting that makes room for so many, and some more.
func raise(limit string, n int) string {
	if limit == totalFields {
		n = (n/500 + 1) * 500
	}
	return fmt.Sprintf("settings: {%s: %d} in the definition, or fewer fields", limit, n)
}

// countFields counts what the limits are about: fields with their sub-fields and
// the objects around them, nested ones, and how deep objects lie.
func countFields(template object) map[string]int {
	counts := map[string]int{}
	var walk func(properties object, depth int)
	walk = func(properties object, depth int) {
		counts[mappingDepth] = max(counts[mappingDepth], depth)
		for _, v := range properties {
			field, _ := v.(object)
			counts[totalFields]++
			if field["type"] == "nested" {
				counts[nestedFields]++
			}
			for _, below := range []string{"properties", "fields"} {
				if inner, ok := field[below].(object); ok {
					if below == "fields" {
						counts[totalFields] += len(inner)
						continue
					}
					walk(inner, depth+1)
				}
			}
		}
	}
	mappings, _ := template["mappings"].(object)
	properties, _ := mappings["properties"].(object)
	walk(properties, 1)
	if runtime, ok := mappings["runtime"].(object); ok {
		counts[totalFields] += len(runtime)
	}
	return counts
}

// defaultTotalFields is the server's own limit.
const defaultTotalFields = 1000

func tooManyFields(alias string, template object) (preflight.Finding, bool) {
	limit := float64(defaultTotalFields)
	settings, _ := template["settings"].(object)
	switch v := settings[totalFields].(type) {
	case float64:
		limit = v
	case string:
		_, _ = fmt.Sscan(v, &limit) // what is no number stays the default
	}
	n := countFields(template)[totalFields]
	return preflight.Finding{
		Level: preflight.Error, Subject: "index " + alias,
		Text:   fmt.Sprintf("its mapping has %d fields, sub-fields and objects, and the server takes %.0f", n, limit),
		Remedy: raise(totalFields, n),
	}, float64(n) > limit
}

// checkPipelines looks for the ingest pipelines that documents are to go through.
func (s *Sink) checkPipelines(ctx context.Context, spec *sinks.IndexSpec, template object) ([]preflight.Finding, error) {
	settings, _ := template["settings"].(object)
	var findings []preflight.Finding
	for _, p := range []struct {
		name any
		from string
	}{
		{spec.Pipeline, "take `pipeline` out of the definition"},
		{settings["index.default_pipeline"], "take index.default_pipeline out of its settings"},
		{settings["index.final_pipeline"], "take index.final_pipeline out of its settings"},
	} {
		name, _ := p.name.(string)
		if name == "" || name == "_none" {
			continue
		}
		err := s.client.call(ctx, http.MethodGet, "/_ingest/pipeline/"+url.PathEscape(name), nil, nil)
		e, answered := errors.AsType[*apiError](err)
		switch {
		case err != nil && !answered:
			return nil, fmt.Errorf("look for ingest pipeline %s: %w", name, err)
		case answered && e.Status == http.StatusNotFound:
			findings = append(findings, preflight.Finding{
				Level: preflight.Error, Subject: "index " + spec.Alias,
				Text: "there is no ingest pipeline " + name, Remedy: fmt.Sprintf("create it with PUT /_ingest/pipeline/%s, or %s", name, p.from),
			})
		}
	}
	return findings, nil
}

// checkDataStreams looks for a template that would have a data stream under the
// name that the physical index gets: such as logs-*-*, which servers come with.
func (s *Sink) checkDataStreams(ctx context.Context, alias string) ([]preflight.Finding, error) {
	var found struct {
		Templates []struct {
			Name     string `json:"name"`
			Template struct {
				Patterns []string        `json:"index_patterns"`
				Priority int64           `json:"priority"`
				Stream   json.RawMessage `json:"data_stream"`
			} `json:"index_template"`
		} `json:"index_templates"`
	}
	err := s.client.call(ctx, http.MethodGet, "/_index_template", nil, &found)
	if _, answered := errors.AsType[*apiError](err); answered {
		return nil, nil // it may not be looked at
	}
	if err != nil {
		return nil, fmt.Errorf("look at index templates: %w", err)
	}
	name, pattern, highest := "", "", int64(-1)
	for _, t := range found.Templates {
		for _, p := range t.Template.Patterns {
			if ok, _ := path.Match(p, alias+"-20060102-150405-000"); !ok || t.Template.Priority < highest {
				continue
			}
			highest = t.Template.Priority
			if name = ""; len(t.Template.Stream) > 0 && string(t.Template.Stream) != "null" {
				name, pattern = t.Name, p
			}
		}
	}
	if name == "" {
		return nil, nil
	}
	return []preflight.Finding{{
		Level: preflight.Error, Subject: "index " + alias,
		Text:   fmt.Sprintf("the server's template %s has data streams only under names like %s", name, pattern),
		Remedy: "set `index:` in the definition to another name",
	}}, nil
}

// sameJSON reports whether two texts are the same JSON.
func sameJSON(a, b json.RawMessage) bool {
	var values [2]any
	for i, text := range []json.RawMessage{a, b} {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if d.Decode(&values[i]) != nil {
			return false
		}
	}
	return reflect.DeepEqual(values[0], values[1])
}
