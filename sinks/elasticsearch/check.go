package elasticsearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"haystream/internal/preflight"
	"haystream/sinks"
)

// Check implements sinks.Sink.
func (s *Sink) Check(ctx context.Context, indexes []sinks.IndexSpec) ([]preflight.Finding, error) {
	info, err := s.Info(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil && s.server.product != "" && away(err) { // it was there before
		return nil, fmt.Errorf("check sink: %w", err)
	}
	if err != nil {
		f := preflight.Finding{Level: preflight.Error, Subject: s.cfg.Flavor, Text: err.Error()}
		if text, remedy := diagnose(err); remedy != "" {
			f.Text, f.Remedy = s.address()+": "+text, remedy
		}
		return []preflight.Finding{f}, nil
	}
	findings := []preflight.Finding{{Level: preflight.OK, Subject: info.Kind, Text: info.Version + " at " + info.Address}}
	if !s.server.supported() {
		findings[0].Level = preflight.Warning
		findings[0].Text += " is not a version that haystream is tested with"
		findings[0].Remedy = "use Elasticsearch 7.17 to 9, or OpenSearch 2 or 3"
	}
	aliases := make([]string, len(indexes))
	for i := range indexes {
		aliases[i] = indexes[i].Alias
	}
	for _, look := range []func() ([]preflight.Finding, error){
		func() ([]preflight.Finding, error) { return s.checkPrivileges(ctx, aliases) },
		func() ([]preflight.Finding, error) { return s.checkBlocks(ctx, aliases) },
		func() ([]preflight.Finding, error) { return s.checkIndexes(ctx, indexes) },
	} {
		more, err := look()
		if err != nil {
			return nil, err
		}
		findings = append(findings, more...)
	}
	return findings, nil
}

// away reports whether an error says no more than that the server does not answer, or not yet.
func away(err error) bool {
	v := judgeRequest(err)
	return v == unavailable || v == overloaded
}

// checkIndexes looks at what bears the names that the pipeline needs, and whether
// those that are to be made can be.
func (s *Sink) checkIndexes(ctx context.Context, indexes []sinks.IndexSpec) ([]preflight.Finding, error) {
	var findings []preflight.Finding
	for i := range indexes {
		alias := indexes[i].Alias
		f := preflight.Finding{Level: preflight.OK, Subject: "index " + alias}
		index, err := s.Index(ctx, alias)
		var e *apiError
		switch {
		case errors.Is(err, sinks.ErrForeign):
			f.Level, f.Waits = preflight.Error, true
			f.Text, f.Remedy, _ = strings.Cut(strings.TrimPrefix(err.Error(), sinks.ErrForeign.Error()+": "), "; ")
		case errors.As(err, &e) && e.Status == http.StatusForbidden:
			f.Level, f.Text, f.Remedy = preflight.Error, "it may not be looked at (403)", "grant the privilege view_index_metadata on "+alias+" and "+alias+"-*"
		case err != nil:
			return nil, fmt.Errorf("check index %s: %w", alias, err)
		case index == nil:
			f.Text = "does not exist yet; it will be created"
		default:
			f.Text = "is " + index.Physical
		}
		findings = append(findings, f)
		if f.Level == preflight.Error || indexes[i].Mappings == nil || index != nil && sameJSON(index.Meta, indexes[i].Meta) {
			continue
		}
		more, err := s.probe(ctx, &indexes[i])
		if err != nil {
			return nil, err
		}
		findings = append(findings, more...)
	}
	return findings, nil
}

// checkBlocks looks for blocks that keep documents out.
func (s *Sink) checkBlocks(ctx context.Context, aliases []string) ([]preflight.Finding, error) {
	type blocks map[string]struct {
		Description string   `json:"description"`
		Levels      []string `json:"levels"`
	}
	var state struct {
		Blocks struct {
			Global  blocks            `json:"global"`
			Indices map[string]blocks `json:"indices"`
		} `json:"blocks"`
	}
	err := s.client.call(ctx, http.MethodGet, "/_cluster/state/blocks", nil, &state)
	if _, answered := errors.AsType[*apiError](err); answered {
		return nil, nil // serverless has no such page, and without the privilege checkPrivileges says so
	}
	if err != nil {
		return nil, fmt.Errorf("check blocks: %w", err)
	}
	var findings []preflight.Finding
	add := func(subject, physical string, found blocks) {
		for _, b := range found {
			if slices.Contains(b.Levels, "write") {
				typ, reason := "cluster_block_exception", "blocked by: "+b.Description
				if b.Description == "index closed" {
					typ = "index_closed_exception"
				}
				findings = append(findings, preflight.Finding{
					Level: preflight.Error, Subject: subject, Waits: true,
					Text: b.Description, Remedy: remedy(http.StatusForbidden, typ, reason, physical),
				})
			}
		}
	}
	add("cluster", "", state.Blocks.Global)
	for physical, found := range state.Blocks.Indices {
		ours := physical == lettersIndex || physical == checkpointsIndex ||
			slices.ContainsFunc(aliases, func(alias string) bool { return strings.HasPrefix(physical, alias+"-") })
		if ours {
			add("index "+physical, physical, found)
		}
	}
	return findings, nil
}

// checkPrivileges asks what the user or key may do, where security is on.
func (s *Sink) checkPrivileges(ctx context.Context, aliases []string) ([]preflight.Finding, error) {
	if s.cfg.Flavor == FlavorOpenSearch || s.cfg.APIKey == "" && s.cfg.Username == "" {
		return nil, nil
	}
	names := []string{checkpointsIndex, lettersIndex, sinks.WriteAlias(checkpointsIndex), sinks.WriteAlias(lettersIndex)}
	for _, alias := range aliases {
		names = append(names, alias, alias+"-*")
	}
	question, err := json.Marshal(map[string]any{
		"cluster": []string{"monitor"},
		"index":   []any{map[string]any{"names": names, "privileges": []string{"manage", "write", "read"}}},
	})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Username string                     `json:"username"`
		All      bool                       `json:"has_all_requested"`
		Cluster  map[string]bool            `json:"cluster"`
		Index    map[string]map[string]bool `json:"index"`
	}
	err = s.client.call(ctx, http.MethodPost, "/_security/user/_has_privileges", question, &answer)
	if _, answered := errors.AsType[*apiError](err); answered {
		return nil, nil // no security in this server
	}
	if err != nil {
		return nil, fmt.Errorf("check privileges: %w", err)
	}
	if answer.All {
		return []preflight.Finding{{Level: preflight.OK, Subject: "privileges", Text: answer.Username + " may do all that is needed"}}, nil
	}
	var missing []string
	for privilege, granted := range answer.Cluster {
		if !granted {
			missing = append(missing, privilege+" on the cluster")
		}
	}
	for name, privileges := range answer.Index {
		for privilege, granted := range privileges {
			if !granted {
				missing = append(missing, privilege+" on "+name)
			}
		}
	}
	slices.Sort(missing)
	return []preflight.Finding{{
		Level: preflight.Error, Subject: "privileges",
		Text:   answer.Username + " lacks " + strings.Join(missing, ", "),
		Remedy: fmt.Sprintf(`give its role {"cluster":["monitor"],"indices":[{"names":["%s"],"privileges":["manage","write","read"]}]}`, strings.Join(names, `","`)),
	}}, nil
}
