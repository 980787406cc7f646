package elasticsearch

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"haystream/internal/preflight"
	"haystream/internal/servers"
	"haystream/sinks"
)

// wideMapping has so many text fields, each with a sub-field.
func wideMapping(fields int) json.RawMessage {
	var b strings.Builder
	for i := range fields {
		fmt.Fprintf(&b, `,"f%d":{"type":"text","fields":{"keyword":{"type":"keyword"}}}`, i)
	}
	return json.RawMessage(`{"dynamic":"strict","properties":{` + b.String()[1:] + `}}`)
}

func repeatedMapping(fields int, of string) json.RawMessage {
	var b strings.Builder
	for i := range fields {
		fmt.Fprintf(&b, `,"f%d":%s`, i, of)
	}
	return json.RawMessage(`{"properties":{` + b.String()[1:] + `}}`)
}

// checkIsTrue: what a check finds wrong with an index cannot be made, and what
// it finds well can. The check itself makes nothing.
func checkIsTrue(t *testing.T, server *servers.Server, flavor string) {
	s := newSink(t, testConfig(server.URL, flavor), sinks.Options{Owner: "probe"})
	defer s.Close()
	deep := strings.Repeat(`{"properties":{"a":`, 22) + `{"type":"keyword"}` + strings.Repeat(`}}`, 22)
	for i, c := range []struct {
		mappings, settings, want string // want: of the finding; empty where there is none
	}{
		{textMapping, "", ""},
		{string(wideMapping(499)), "", ""},
		{string(wideMapping(600)), "", "index.mapping.total_fields.limit: 1500"},
		{string(wideMapping(600)), `{"index":{"mapping":{"total_fields":{"limit":1500}}}}`, ""},
		{string(wideMapping(600)), `{"mapping.total_fields.limit":"1500"}`, ""},
		{string(repeatedMapping(51, `{"type":"nested"}`)), "", "index.mapping.nested_fields.limit: 51"},
		{string(repeatedMapping(51, `{"type":"nested"}`)), `{"index.mapping.nested_fields.limit":51}`, ""},
		{deep, "", "index.mapping.depth.limit: "},
		{deep, `{"index.mapping.depth.limit":23}`, ""},
		{`{"properties":{"a":{"type":"text","analyzer":"flotsam"}}}`, "", "flotsam"},
		{`{"properties":{"a":{"type":"flotsam"}}}`, "", "flotsam"},
		{textMapping, `{"flotsam":1}`, "flotsam"},
		{textMapping, `{"number_of_shards":0}`, "number_of_shards"},
		{textMapping, `{"analysis":{"analyzer":{"own":{"tokenizer":"flotsam"}}}}`, "flotsam"},
		{textMapping, `{"analysis":{"analyzer":{"own":{"tokenizer":"standard"}}}}`, ""},
	} {
		spec := sinks.IndexSpec{Alias: fmt.Sprintf("probe%d", i), Mappings: json.RawMessage(c.mappings), Settings: json.RawMessage(c.settings)}
		spec.Physical = spec.Alias + "-1"
		findings, err := s.Check(t.Context(), []sinks.IndexSpec{spec})
		bad := preflight.Errors(findings)
		if err != nil || len(bad) != min(len(c.want), 1) || len(bad) > 0 && !strings.Contains(bad[0].String(), c.want) {
			t.Errorf("%d: a check finds %v, %v, want %q", i, bad, err, c.want)
		}
		if index, err := s.Index(t.Context(), spec.Alias); index != nil || err != nil {
			t.Errorf("%d: after a check there is an index: %v, %v", i, index, err)
		}
		if _, err := s.Create(t.Context(), spec); (err == nil) != (c.want == "") {
			t.Errorf("%d: making it gives %v, want %q", i, err, c.want)
		}
		if err := s.Drop(t.Context(), spec.Physical); err != nil {
			t.Error(err)
		}
	}
}

// TestCheckKnowsTemplatesAndPipelines: the server's own templates count, and
// pipelines have to be there.
func TestCheckKnowsTemplatesAndPipelines(t *testing.T) {
	server := mainServer.Get(t)
	s := newSink(t, testConfig(server.URL, ""), sinks.Options{Owner: "probe"})
	defer s.Close()
	const raised = `"settings":{"index.mapping.total_fields.limit":3000}`
	for _, c := range []struct {
		path, template string
		spec           sinks.IndexSpec
		want           string
	}{
		{"/_index_template/probe", `{"index_patterns":["probe-*"],"template":{` + raised + `}}`, sinks.IndexSpec{Mappings: wideMapping(600)}, ""},
		{"/_template/probe", `{"index_patterns":["probe-*"],` + raised + `}`, sinks.IndexSpec{Mappings: wideMapping(600)}, ""},
		{"/_index_template/probe", `{"index_patterns":["other-*"],"template":{` + raised + `}}`, sinks.IndexSpec{Mappings: wideMapping(600)}, "1500"},
		{"/_index_template/probe", `{"index_patterns":["prob*"],"priority":7,"data_stream":{}}`, sinks.IndexSpec{}, "set `index:`"},
		{"", "", sinks.IndexSpec{Pipeline: "flotsam"}, "PUT /_ingest/pipeline/flotsam"},
		{"", "", sinks.IndexSpec{Settings: json.RawMessage(`{"default_pipeline":"flotsam"}`)}, "PUT /_ingest/pipeline/flotsam"},
	} {
		if c.path != "" {
			ask(t, http.MethodPut, server.URL+c.path, c.template, nil)
		}
		c.spec.Alias = "probe"
		if c.spec.Mappings == nil {
			c.spec.Mappings = json.RawMessage(textMapping)
		}
		findings, err := s.Check(t.Context(), []sinks.IndexSpec{c.spec})
		bad := preflight.Errors(findings)
		if err != nil || len(bad) != min(len(c.want), 1) || len(bad) > 0 && !strings.Contains(bad[0].String(), c.want) {
			t.Errorf("%s%s: a check finds %v, %v, want %q", c.template, c.spec.Settings, bad, err, c.want)
		}
		if c.path != "" {
			ask(t, http.MethodDelete, server.URL+c.path, "", nil)
		}
	}
}

// TestCheckCountsFields where the server does not say what it would refuse.
func TestCheckCountsFields(t *testing.T) {
	server := scripted(t, map[string]string{"GET /": `{"version":{"number":"8.19.0","build_flavor":"default"}}`})
	s := newSink(t, oneLane(server.URL), sinks.Options{})
	defer s.Close()
	for settings, want := range map[string]bool{"": true, `{"index":{"mapping":{"total_fields":{"limit":"2000"}}}}`: false} {
		spec := sinks.IndexSpec{Alias: "wide", Mappings: wideMapping(600), Settings: json.RawMessage(settings)}
		findings, err := s.Check(t.Context(), []sinks.IndexSpec{spec})
		if bad := preflight.Errors(findings); err != nil || (len(bad) > 0) != want {
			t.Errorf("with %s a check finds %v, %v", settings, bad, err)
		}
	}
}
