package elasticsearch

import (
	"bytes"
	"encoding/json"
	"testing"

	"haystream/sinks"
)

func TestCreateBody(t *testing.T) {
	for _, c := range []struct {
		name       string
		spec       sinks.IndexSpec
		serverless bool
		want       string
	}{
		{
			"loaded beside",
			sinks.IndexSpec{Alias: "notes", Physical: "notes-1", Mappings: json.RawMessage(`{"dynamic":"strict"}`), Meta: json.RawMessage(`{"table":"notes"}`)},
			false,
			`{"aliases":{"notes-1-write":{}},
			"mappings":{"_meta":{"haystream":{"owner":"blog","definition":{"table":"notes"},"serving":{"index.number_of_replicas":null,"index.refresh_interval":null}}},"dynamic":"strict"},
			"settings":{"index.gc_deletes":"1h","index.number_of_replicas":0,"index.refresh_interval":"-1"}}`,
		},
		{
			"serves at once",
			sinks.IndexSpec{Alias: "notes", Physical: "notes-1", Serve: true, Settings: json.RawMessage(`{"refresh_interval":"5s"}`)},
			false,
			`{"aliases":{"notes":{"is_write_index":false},"notes-1-write":{}},
			"mappings":{"_meta":{"haystream":{"owner":"blog","serving":{"index.number_of_replicas":null}}}},
			"settings":{"index.gc_deletes":"1h","index.number_of_replicas":0,"index.refresh_interval":"5s"}}`,
		},
		{
			"settings in all forms",
			sinks.IndexSpec{
				Alias: "notes", Physical: "notes-1",
				Settings: json.RawMessage(`{"number_of_replicas":2,"index":{"refresh_interval":"5s","gc_deletes":"2h","index.codec":"best_compression"},"index.number_of_shards":3,"analysis":{"filter":{"ngram":{"type":"ngram","token_chars":["letter"]}}}}`),
				Mappings: json.RawMessage(`{"_meta":{"by":"people"}}`),
			},
			false,
			`{"aliases":{"notes-1-write":{}},
			"mappings":{"_meta":{"by":"people","haystream":{"owner":"blog","serving":{"index.number_of_replicas":2,"index.refresh_interval":"5s"}}}},
			"settings":{"index.analysis.filter.ngram.token_chars":["letter"],"index.analysis.filter.ngram.type":"ngram","index.codec":"best_compression","index.gc_deletes":"2h","index.number_of_replicas":0,"index.number_of_shards":3,"index.refresh_interval":"-1"}}`,
		},
		{
			"replicas by themselves",
			sinks.IndexSpec{Alias: "notes", Physical: "notes-1", Serve: true, Settings: json.RawMessage(`{"auto_expand_replicas":"0-1"}`)},
			false,
			`{"aliases":{"notes":{"is_write_index":false},"notes-1-write":{}},"mappings":{"_meta":{"haystream":{"owner":"blog"}}},
			"settings":{"index.auto_expand_replicas":"0-1","index.gc_deletes":"1h"}}`,
		},
		{
			"serverless",
			sinks.IndexSpec{Alias: "notes", Physical: "notes-1"},
			true,
			`{"aliases":{"notes-1-write":{}},"mappings":{"_meta":{"haystream":{"owner":"blog"}}},"settings":{}}`,
		},
	} {
		got, err := createBody(&c.spec, "blog", c.serverless)
		var want bytes.Buffer
		if err := json.Compact(&want, []byte(c.want)); err != nil {
			t.Fatal(err)
		}
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s:\n got %s, %v\nwant %s", c.name, got, err, want.Bytes())
		}
	}
	for _, bad := range []sinks.IndexSpec{{Settings: json.RawMessage(`{"index":{`)}, {Mappings: json.RawMessage(`[]`)}, {Mappings: json.RawMessage(`{"_meta":1}`)}} {
		if _, err := createBody(&bad, "blog", false); err == nil {
			t.Errorf("%s and %s make an index", bad.Settings, bad.Mappings)
		}
	}
}
