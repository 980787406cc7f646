package elasticsearch

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"haystream/internal/conf"
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
			s := newSink(t, cfg, Options{Owner: "blog"})
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
	s := newSink(t, oneLane(server.URL), Options{})
	defer s.Close()
	if _, err := s.Info(t.Context()); err == nil || !strings.Contains(err.Error(), "flavor: opensearch") {
		t.Errorf("got %v", err)
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	cfg := oneLane("http://user:hush@127.0.0.1:1")
	cfg.APIKey, cfg.Password = conf.Secret("hush"), conf.Secret("hush")
	s := newSink(t, cfg, Options{Owner: "blog"})
	defer s.Close()
	_, err := s.Info(t.Context())
	findings, checkErr := s.Check(t.Context(), nil)
	if text := fmt.Sprint(err, findings, checkErr, cfg.APIKey, cfg.Password); err == nil || strings.Contains(text, "hush") {
		t.Errorf("shown: %s", text)
	}
}
