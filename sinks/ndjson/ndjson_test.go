package ndjson

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"haystream/sinks"
	"haystream/sinks/sinktest"
)

func TestConformance(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.ndjson")
	sinktest.Run(t, sinktest.Harness{
		Open: func(t *testing.T, owner string, maxDeadLetters int64) sinks.Sink {
			s, err := New(Config{Path: path}, sinks.Options{Owner: owner, StateDir: filepath.Join(dir, "state"), MaxDeadLetters: maxDeadLetters, MaxBytes: 1 << 20}, zerolog.Nop())
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Documents: func(t *testing.T, target *sinks.Target) map[string]sinktest.Document {
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			return apply(t, f, target.WriteAlias)
		},
		Point: func(t *testing.T, s sinks.Sink, alias, physical string) {
			if err := s.Swap(t.Context(), alias, physical); err != nil {
				t.Fatal(err)
			}
		},
	})
}

// apply does with the lines of one index what the bulk API does.
func apply(t *testing.T, r io.Reader, alias string) map[string]sinktest.Document {
	t.Helper()
	all, documents := map[string]sinktest.Document{}, map[string]sinktest.Document{}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return documents
		}
		var action map[string]struct {
			Index   string `json:"_index"`
			ID      string `json:"_id"`
			Version int64
			Type    string `json:"version_type"`
		}
		if err := json.Unmarshal(line, &action); err != nil {
			t.Fatalf("%v in line %s", err, line)
		}
		for op, a := range action {
			var body []byte
			if op == "index" {
				if body, err = lines.ReadBytes('\n'); err != nil || !json.Valid(body) {
					t.Fatalf("%v: the document is %s", err, body)
				}
			}
			if a.Index != alias || a.Type != "external_gte" || all[a.ID].Version > a.Version {
				continue
			}
			all[a.ID] = sinktest.Document{Version: a.Version}
			delete(documents, a.ID)
			if op == "index" {
				documents[a.ID] = sinktest.Document{Version: a.Version, Body: string(bytes.TrimSpace(body))}
			}
		}
	}
}
