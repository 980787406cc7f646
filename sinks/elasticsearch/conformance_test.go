package elasticsearch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"haystream/internal/conf"
	"haystream/internal/servers"
	"haystream/sinks"
	"haystream/sinks/sinktest"
)

// mainServer is the server that most tests share. roughServer takes small
// requests only, and is killed and started again.
var (
	mainServer  = servers.Shared{Spec: servers.Spec{Kind: servers.Elasticsearch, Version: "8.19"}}
	roughServer = servers.Shared{Spec: servers.Spec{Kind: servers.Elasticsearch, Version: "8.19", Args: []string{"-E", "http.max_content_length=1mb"}}}
)

func TestMain(m *testing.M) {
	code := m.Run()
	mainServer.Stop()
	roughServer.Stop()
	os.Exit(code)
}

// testConfig has limits that make requests and batches come in parts.
func testConfig(url, flavor string) Config {
	return Config{Addresses: []string{url}, Flavor: flavor, Bulk: BulkConfig{MaxBytes: 64 << 10, Lanes: 3}}
}

func newSink(t *testing.T, cfg Config, opts sinks.Options) *Sink {
	t.Helper()
	s, err := New(cfg, opts, zerolog.New(zerolog.NewTestWriter(t)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	conform := func(t *testing.T, server *servers.Server, flavor string, compression bool) {
		takesAnyMembers(t, server.URL, flavor)
		sinktest.Run(t, sinktest.Harness{
			Open: func(t *testing.T, owner string, maxDeadLetters int64) sinks.Sink {
				cfg := testConfig(server.URL, flavor)
				cfg.Compression = compression
				return newSink(t, cfg, sinks.Options{Owner: owner, MaxDeadLetters: maxDeadLetters, MaxBytes: 1 << 20})
			},
			Documents: func(t *testing.T, target *sinks.Target) map[string]sinktest.Document {
				return documents(t, server.URL, target.Physical)
			},
			Point: func(t *testing.T, _ sinks.Sink, alias, physical string) {
				ask(t, http.MethodPost, server.URL+"/_aliases", fmt.Sprintf(`{"actions":[{"remove":{"index":"*","alias":%[1]q}},{"add":{"index":%[2]q,"alias":%[1]q}}]}`, alias, physical), nil)
			},
			Gates:   true,
			Copies:  true,
			Refused: []byte(`{"n":"no number"}`),
		})
		t.Run("gives up what never fits", func(t *testing.T) { beyondPressure(t, server, flavor) })
		t.Run("check", func(t *testing.T) { checkIsTrue(t, server, flavor) })
	}
	for _, version := range servers.ElasticsearchVersions() {
		t.Run("elasticsearch "+version, func(t *testing.T) {
			if version == mainServer.Spec.Version {
				conform(t, mainServer.Get(t), FlavorElasticsearch, true)
				return
			}
			conform(t, servers.Test(t, servers.Spec{Kind: servers.Elasticsearch, Version: version}), FlavorElasticsearch, false)
		})
	}
	for _, version := range servers.OpenSearchVersions() {
		t.Run("opensearch "+version, func(t *testing.T) {
			conform(t, servers.Test(t, servers.Spec{Kind: servers.OpenSearch, Version: version}), FlavorOpenSearch, true)
		})
	}
}

// takesAnyMembers writes objects whose members are of different types to a field
// of the server's type for such.
func takesAnyMembers(t *testing.T, url, flavor string) {
	ask(t, http.MethodPut, url+"/flat", `{"mappings":{"dynamic":"strict","properties":{"f":{"type":"`+flatTypes[flavor]+`"}}}}`, nil)
	for _, value := range []string{`{"a":1}`, `{"a":"x"}`, `{"a":{"b":[1,{"c":true}]}}`, `{"a":null}`, `{"a":[1,"x",{"b":2}]}`, `{"":1}`, `{}`} {
		ask(t, http.MethodPost, url+"/flat/_doc", `{"f":`+value+`}`, nil)
	}
	ask(t, http.MethodDelete, url+"/flat", "", nil)
}

// ask sends a request of the test's own and decodes the answer.
func ask(t *testing.T, method, url, body string, out any) {
	t.Helper()
	req, err := http.NewRequest(method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %d %s, %v", method, url, res.StatusCode, text, err)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			t.Fatalf("%s %s: %v in %s", method, url, err, text)
		}
	}
}

// documents reads all of an index.
func documents(t *testing.T, url, index string) map[string]sinktest.Document {
	t.Helper()
	ask(t, http.MethodPost, url+"/"+index+"/_refresh", "", nil)
	found := map[string]sinktest.Document{}
	var answer struct {
		Hits struct {
			Total struct{ Value int }
			Hits  []struct {
				ID      string          `json:"_id"`
				Version int64           `json:"_version"`
				Source  json.RawMessage `json:"_source"`
			}
		}
	}
	ask(t, http.MethodPost, url+"/"+index+"/_search", `{"size":10000,"version":true,"track_total_hits":true}`, &answer)
	if n := answer.Hits.Total.Value; n != len(answer.Hits.Hits) {
		t.Fatalf("%d of %d documents read", len(answer.Hits.Hits), n)
	}
	for _, hit := range answer.Hits.Hits {
		found[hit.ID] = sinktest.Document{Version: hit.Version, Body: string(hit.Source)}
	}
	return found
}

func TestSecureServer(t *testing.T) {
	server := servers.Test(t, servers.Spec{Kind: servers.Elasticsearch, Version: "8.19", Secure: true})
	good := Config{Addresses: []string{server.URL}, Username: "admin", Password: conf.Secret(server.Password), CACert: server.CACert}
	for _, c := range []struct {
		name   string
		change func(*Config)
		remedy string // of the check's first finding; empty where all is well
	}{
		{"authority", func(*Config) {}, ""},
		{"fingerprint", func(c *Config) { c.CACert, c.CAFingerprint = "", server.Fingerprint }, ""},
		{"another fingerprint", func(c *Config) { c.CACert, c.CAFingerprint = "", fmt.Sprintf("%064d", 7) }, "ca_fingerprint"},
		{"the system's authorities", func(c *Config) { c.CACert = "" }, "set ca_cert or ca_fingerprint"},
		{"a wrong password", func(c *Config) { c.Password = "wrong" }, "check api_key, or username and password"},
		{"no TLS", func(c *Config) { c.Addresses = []string{"http" + server.URL[len("https"):]} }, "https://"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := good
			c.change(&cfg)
			s := newSink(t, cfg, sinks.Options{Owner: "blog"})
			defer s.Close()
			findings, err := s.Check(t.Context(), []sinks.IndexSpec{{Alias: "notes"}})
			if err != nil || len(findings) == 0 {
				t.Fatal(findings, err)
			}
			t.Log(findings)
			if ok := findings[0].Level == "ok"; ok != (c.remedy == "") || !strings.Contains(findings[0].String(), c.remedy) {
				t.Errorf("got %v, want a remedy with %q", findings, c.remedy)
			}
		})
	}
}
