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
	"haystream/sinks/bulk"
)

// standingFilter leaves out mappings, which may be large.
const standingFilter = "&filter_path=*.aliases,*.settings.index.uuid,*.settings.index.blocks,*.settings.index.verified_before_close,*.mappings._meta.haystream.owner"

// An aliasState is what an alias says of one of its indexes.
type aliasState struct {
	Writes *bool           `json:"is_write_index,omitempty"`
	Filter json.RawMessage `json:"filter,omitempty"`
	Search string          `json:"search_routing,omitempty"`
	Index  string          `json:"index_routing,omitempty"`
}

// forReaders makes an alias refuse what other programs write by it.
var forReaders = new(false)

// Standing implements sinks.Sink, in one request.
func (s *Sink) Standing(ctx context.Context, alias, physical string) (sinks.Standing, error) {
	found := map[string]*existing{}
	write := sinks.WriteAlias(physical)
	path := familyPath(physical) + "," + url.PathEscape(alias) + "," + url.PathEscape(write) + "?ignore_unavailable=true&allow_no_indices=true" + standingFilter
	if err := s.client.call(ctx, http.MethodGet, path, nil, &found); err != nil {
		return sinks.Standing{}, fmt.Errorf("look at index %s: %w", physical, err)
	}
	var standing sinks.Standing
	if e := found[physical]; e != nil && e.owner() == s.opts.Owner {
		standing.UUID, standing.Blocked = e.Settings.Index.UUID, e.blocked(physical)
	}
	var behind, unserved []string
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if to, ok := found[name].alias(write); ok && (to.Writes == nil || *to.Writes) {
			behind = append(behind, name)
			if to.Writes != nil {
				standing.WritesTo = name
			}
		}
		to, ok := found[name].alias(alias)
		serves := name == alias || ok && to.Filter == nil && to.Search == "" && to.Writes != nil && !*to.Writes
		period := sinks.PeriodOf(physical, name)
		if period != "" && found[name].owner() == s.opts.Owner {
			if _, ok := found[name].alias(sinks.WriteAlias(name)); ok {
				standing.Periods = append(standing.Periods, period)
			}
			if !serves {
				unserved = append(unserved, name)
			}
		}
		if serves && !sinks.Belongs(name, maps.Keys(found)) {
			standing.Serving = append(standing.Serving, name)
		}
	}
	if len(unserved) > 0 && slices.Contains(standing.Serving, physical) {
		standing.Serving = append(standing.Serving, physical+" without "+strings.Join(unserved, " and "))
	}
	if standing.WritesTo == "" && len(behind) == 1 && !shared(found, write) {
		standing.WritesTo = behind[0]
	}
	if to, _ := found[standing.WritesTo].alias(write); to.Index != "" {
		standing.WritesTo += " with the routing " + to.Index
	}
	return standing, nil
}

// Made implements sinks.Sink. A copy that somebody has made of an index has its mark,
// but not its write alias.
func (s *Sink) Made(ctx context.Context, alias string) ([]*sinks.Index, error) {
	found := map[string]*existing{}
	names := url.PathEscape(alias) + "-*"
	if alias == "" {
		names = "*" + sinks.WriteAlias("")
	}
	path := "/" + names + "?expand_wildcards=all" + standingFilter + ",*.mappings._meta.haystream.definition"
	err := s.client.call(ctx, http.MethodGet, path, nil, &found)
	var denied *apiError
	switch {
	case alias == "" && errors.As(err, &denied) && denied.Status == http.StatusForbidden:
		s.log.Warn().Msg("indexes of aliases that are not configured any more cannot be listed: " + denied.Reason)
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("list indexes %s: %w", names, err)
	}
	var made []*sinks.Index
	for _, name := range slices.Sorted(maps.Keys(found)) {
		_, writable := found[name].alias(sinks.WriteAlias(name))
		of := sinks.AliasOf(name)
		if writable && of != "" && (alias == "" || alias == of) && found[name].owner() == s.opts.Owner && !sinks.Belongs(name, maps.Keys(found)) {
			made = append(made, found[name].index(of, name))
		}
	}
	return made, nil
}

// shared reports whether an alias has more than one index.
func shared(found map[string]*existing, alias string) bool {
	n := 0
	for _, e := range found {
		if _, ok := e.alias(alias); ok {
			n++
		}
	}
	return n > 1
}

func (e *existing) alias(name string) (state aliasState, ok bool) {
	if e == nil {
		return state, false
	}
	text, ok := e.Aliases[name]
	if ok {
		_ = json.Unmarshal(text, &state) // what cannot be read is not set
	}
	return state, ok
}

// blocked says why the index takes no documents, by its settings.
func (e *existing) blocked(physical string) string {
	if e.Settings.Index.Closed == "true" {
		return remedy(http.StatusBadRequest, "index_closed_exception", "", physical)
	}
	for _, block := range []string{"read_only_allow_delete", "read_only", "write"} {
		if e.Settings.Index.Blocks[block] == "true" {
			reason := "by the setting index.blocks." + block
			if block == "read_only_allow_delete" {
				reason += ", which a node sets whose disk is full past the flood stage"
			}
			return remedy(http.StatusForbidden, "cluster_block_exception", reason, physical)
		}
	}
	return ""
}

// Takes implements sinks.Sink: a document that goes through the ingest pipeline and
// must replace one that cannot be there, and a delete that finds nothing.
func (s *Sink) Takes(ctx context.Context, t *sinks.Target) (string, error) {
	index, remove := &sinks.Action{Target: t, Op: sinks.OpIndex}, &sinks.Action{Target: t, Op: sinks.OpDelete, ID: []byte(controlID)}
	body := append([]byte(`{"index":{"_id":"`+controlID+`","if_seq_no":9007199254740991,"if_primary_term":1,"require_alias":true,"_index":`), bulk.AppendString(nil, t.WriteAlias)...)
	if t.Pipeline != "" {
		body = bulk.AppendString(append(body, `,"pipeline":`...), t.Pipeline)
	}
	body = bulk.AppendLine(append(body, "}}\n{}\n"...), remove)
	r := newRequest(s.client, false)
	r.timeout, r.size = takesTimeout, len(body)
	r.add(body)
	answers, err := r.send(ctx, 2)
	if err != nil {
		return "", fmt.Errorf("ask whether index %s takes documents: %w", t.Physical, err)
	}
	for i, a := range []*sinks.Action{index, remove} {
		ans := &answers[i]
		switch v := judge(ans, a); {
		case isMissing(ans.typ):
			return "", nil
		case v == overloaded, v == unavailable:
			return "", fmt.Errorf("ask whether index %s takes documents: %s", t.Physical, explain(v, ans.status, ans.typ, ans.reason, t.Physical))
		case v == blocked:
			return explain(v, ans.status, ans.typ, ans.reason, t.Physical), nil
		}
	}
	return "", nil
}

// takesTimeout bounds how long it takes to ask.
const takesTimeout = 10 * time.Second

// isMissing tells that the write alias is gone, or the index with it: both come back by themselves.
func isMissing(typ string) bool {
	return typ == "index_not_found_exception" || typ == "aliases_not_found_exception"
}
