package commands

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	_ "github.com/go-mysql-org/go-mysql/driver" // mysql
	_ "github.com/jackc/pgx/v5/stdlib"          // pgx

	"haystream/internal/conf"
	"haystream/internal/servers"
	"haystream/replicator/config"
)

var update = flag.Bool("update", false, "write the drafts in testdata/init anew")

var search = servers.Shared{Spec: servers.Spec{Kind: servers.Elasticsearch, Version: "8.19"}}

// TestInit drafts a config of an odd schema on each kind of server. The draft is the one in
// testdata/init; `check` finds no error in it, and `preview` shows each row of each index: as
// it is, and with all that is off in it turned on.
func TestInit(t *testing.T) {
	for _, spec := range []servers.Spec{
		{Kind: servers.Postgres, Version: "15"}, {Kind: servers.MySQL, Version: "8.0"}, {Kind: servers.MariaDB, Version: "11.8"},
	} {
		t.Run(spec.Kind, func(t *testing.T) {
			address := odd(t, servers.Test(t, spec))
			text := initialized(t, InitOptions{URL: conf.Secret(address)})
			golden(t, filepath.Join("testdata", "init", spec.Kind+".yaml"), stable(text))
			fits(t, text)
			fits(t, regexp.MustCompile(`(?m)^( *)#([^ \n]|  +\S)`).ReplaceAllString(strings.NewReplacer("#password_file", "# password_file", "#api_key", "# api_key").Replace(text), "$1$2"))
		})
	}
}

// odd makes the database odd, with the tables of testdata/init, and returns its URL.
func odd(t *testing.T, server *servers.Server) string {
	t.Helper()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	driver, file := "pgx", "postgres.sql"
	address := func() string { return u.String() }
	if server.Kind != servers.Postgres {
		driver, file = "mysql", "mysql.sql"
		address = func() string {
			return fmt.Sprintf("%s@%s%s?collation=utf8mb4_general_ci", u.User.Username(), u.Host, u.Path)
		}
	}
	run := func(statements ...string) {
		db, err := sql.Open(driver, address())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		for _, statement := range statements {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
	}
	run("CREATE DATABASE odd")
	if server.Kind != servers.Postgres {
		run("CREATE DATABASE other", "CREATE TABLE other.elsewhere (id int PRIMARY KEY)")
	}
	u.Path = "/odd"
	text, err := os.ReadFile(filepath.Join("testdata", "init", file))
	if err != nil {
		t.Fatal(err)
	}
	run(strings.Split(strings.TrimSuffix(strings.TrimSpace(string(text)), ";"), ";\n")...)
	if server.Kind == servers.MySQL { // MariaDB may lack the engine
		run("CREATE TABLE press (id char(36) PRIMARY KEY, created timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), body json NOT NULL) ENGINE=BLACKHOLE")
	}
	return u.String()
}

func initialized(t *testing.T, options InitOptions) string {
	t.Helper()
	var out bytes.Buffer
	if err := Init(t.Context(), options, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// stable is a draft without what differs between two runs.
func stable(text string) string {
	text = regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(text, "127.0.0.1:0")
	return regexp.MustCompile(`(config of \w+) \S+ `).ReplaceAllString(text, "$1 0 ")
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s", path, got)
	}
}

// fits checks and previews a config.
func fits(t *testing.T, text string) {
	t.Helper()
	t.Setenv("ELASTICSEARCH_URL", search.Get(t).URL)
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, file, err := config.Load(path)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var report bytes.Buffer
	if err := Check(t.Context(), cfg, file, &report); err != nil {
		t.Fatalf("%v\n%s\n%s", err, report.String(), text)
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Indexes)) {
		var out bytes.Buffer
		if err := Preview(t.Context(), cfg, file, PreviewOptions{Index: name, Limit: 10}, &out); err != nil {
			t.Errorf("preview %s: %v", name, err)
			continue
		}
		var shown struct {
			Documents []struct {
				Rejected string                     `json:"rejected"`
				Source   map[string]json.RawMessage `json:"_source"`
			} `json:"documents"`
		}
		if err := json.Unmarshal(out.Bytes(), &shown); err != nil {
			t.Fatal(err)
		}
		for _, d := range shown.Documents {
			if d.Rejected != "" || len(d.Source) != len(cfg.Indexes[name].Fields.Named) {
				t.Errorf("%s shows %s", name, out.String())
			}
		}
	}
}
