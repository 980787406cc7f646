package elasticsearch

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"haystream/internal/conf"
	"haystream/internal/preflight"
	"haystream/sinks"
)

func TestAuthenticates(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"nobody", func(*Config) {}, ""},
		{"API key", func(c *Config) { c.APIKey = "c2VjcmV0" }, "APIKey c2VjcmV0"},
		{"basic", func(c *Config) { c.Username, c.Password = "blog", "pass" }, "Basic YmxvZzpwYXNz"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			f := newFake(t)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got = append(got, r.Header.Get("Authorization"))
				f.ServeHTTP(w, r)
			}))
			defer server.Close()
			cfg := oneLane(server.URL)
			c.change(&cfg)
			s := newSink(t, cfg, sinks.Options{Owner: "blog"})
			defer s.Close()
			if err := deliverAll(t, s, indexAction(newNotes(), "1", 1, `{}`)); err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(got, func(h string) bool { return h != c.want }) || len(got) < 2 {
				t.Errorf("got %q, want %q each time", got, c.want)
			}
		})
	}
}

func TestCloudID(t *testing.T) {
	urls, err := addresses(&Config{CloudID: "blog:ZXUtd2VzdC0xLmF3cy5mb3VuZC5pbyRhYmMkZGVm"})
	if err != nil || urls[0].String() != "https://abc.eu-west-1.aws.found.io" {
		t.Errorf("got %v, %v", urls, err)
	}
	for _, bad := range []string{"blog", "blog:!!", "blog:YWJj"} {
		if _, err := addresses(&Config{CloudID: bad}); err == nil {
			t.Errorf("%s is taken for a cloud id", bad)
		}
	}
}

func TestRefusesOtherProducts(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"version":{"number":"2.19.3","distribution":"opensearch"}}`)
	}))
	defer server.Close()
	s := newSink(t, oneLane(server.URL), sinks.Options{})
	defer s.Close()
	if _, err := s.Info(t.Context()); err == nil || !strings.Contains(err.Error(), "flavor: opensearch") {
		t.Errorf("got %v", err)
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	cfg := oneLane("http://user:hush@127.0.0.1:1")
	cfg.APIKey, cfg.Password = conf.Secret("hush"), conf.Secret("hush")
	s := newSink(t, cfg, sinks.Options{Owner: "blog"})
	defer s.Close()
	_, err := s.Info(t.Context())
	findings, checkErr := s.Check(t.Context(), nil)
	if text := fmt.Sprint(err, findings, checkErr, cfg.APIKey, cfg.Password); err == nil || strings.Contains(text, "hush") {
		t.Errorf("shown: %s", text)
	}
}

// scripted answers by method and path; what it does not know is not found.
func scripted(t *testing.T, answers map[string]string) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		body, ok := answers[r.Method+" "+r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			body = `{"error":{"type":"index_not_found_exception","reason":"no such index"}}`
		}
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return server
}

func TestCheckNamesMissingPrivileges(t *testing.T) {
	server := scripted(t, map[string]string{
		"GET /": `{"version":{"number":"8.19.0","build_flavor":"default"}}`,
		"POST /_security/user/_has_privileges": `{"username":"blog","has_all_requested":false,"cluster":{"monitor":true},
			"index":{"notes":{"manage":true,"write":true,"read":true},"notes-*":{"manage":false,"write":true,"read":false}}}`,
	})
	cfg := oneLane(server.URL)
	cfg.Username, cfg.Password = "blog", "pass"
	s := newSink(t, cfg, sinks.Options{Owner: "blog"})
	defer s.Close()
	findings, err := s.Check(t.Context(), []sinks.IndexSpec{{Alias: "notes"}})
	bad := preflight.Errors(findings)
	if err != nil || len(bad) != 1 || bad[0].Text != "blog lacks manage on notes-*, read on notes-*" || !strings.Contains(bad[0].Remedy, `"notes","notes-*"`) {
		t.Errorf("got %v, %v", findings, err)
	}
}

func TestCheckNamesUntestedVersions(t *testing.T) {
	for version, ok := range map[string]bool{"7.16.3": false, "7.17.28": true, "8.0.0": true, "9.2.0": true, "10.0.0": false, "1.0": false, "": false} {
		server := scripted(t, map[string]string{"GET /": fmt.Sprintf(`{"version":{"number":%q}}`, version), "GET /_nodes/_local/plugins": `{"nodes":{}}`})
		s := newSink(t, oneLane(server.URL), sinks.Options{})
		findings, err := s.Check(t.Context(), nil)
		if err != nil || (findings[0].Level == preflight.OK) != ok {
			t.Errorf("%s: %v, %v", version, findings, err)
		}
		s.Close()
	}
}

// TestTypes: a full server has the types of its modules; where the modules
// cannot be asked for, any type is taken.
func TestTypes(t *testing.T) {
	page := `{"version":{"number":"8.19.0"}}`
	for _, c := range []struct {
		nodes string
		want  any
	}{
		{`{"nodes":{"a":{"version":"8.19.0","modules":[{"name":"mapper-extras"},{"name":"analysis-common"}]}}}`, true},
		{`{"nodes":{"a":{"version":"8.19.0","modules":[{"name":"analysis-common"}]}}}`, false},
		{``, nil},
	} {
		answers := map[string]string{"GET /": page}
		if c.nodes != "" {
			answers["GET /_nodes/_local/plugins"] = c.nodes
		}
		s := newSink(t, oneLane(scripted(t, answers).URL), sinks.Options{})
		info, err := s.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got any
		if info.Rules.Types != nil {
			got = info.Rules.Types["scaled_float"]
		}
		if got != c.want {
			t.Errorf("with %s: %v, want %v", c.nodes, got, c.want)
		}
		s.Close()
	}
}

// TestUnanswered: a server that takes a request and never answers cannot be reached, unless it is the caller who does not wait.
func TestUnanswered(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	s := newSink(t, testConfig(server.URL, ""), sinks.Options{})
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := s.client.call(ctx, http.MethodGet, "/", nil, nil); err == nil || s.client.lost.Load() != nil {
		t.Errorf("who did not wait got %v, and it is noted: %v", err, s.client.lost.Load())
	}
	if err := s.client.within(t.Context(), time.Millisecond, http.MethodGet, "/", nil, nil); err == nil || s.client.lost.Load() == nil {
		t.Errorf("got %v, and that is not noted", err)
	}
}
