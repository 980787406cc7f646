package config

import (
	"encoding/json"
	"errors"
	stdflag "flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"haystream/internal/conf"
	"haystream/mapping"
	"haystream/sinks/elasticsearch"
	"haystream/sinks/kinds"
	"haystream/sinks/ndjson"
)

var update = stdflag.Bool("update", false, "write the expected errors of testdata anew")

// TestLoad reads each config in testdata: a .good.yaml has no mistakes,
// a .bad.yaml those in the .bad.txt beside it.
func TestLoad(t *testing.T) {
	t.Chdir("testdata")
	paths, err := filepath.Glob("*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal("no configs", err)
	}
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			_, _, err := Load(path)
			got := ""
			if err != nil {
				got = err.Error() + "\n"
			}
			if strings.Contains(got, "swordfish") {
				t.Error("a secret shows:", got)
			}
			if strings.HasSuffix(path, ".good.yaml") {
				if got != "" {
					t.Errorf("unexpected mistakes:\n%s", got)
				}
				return
			}
			compareFile(t, strings.TrimSuffix(path, ".yaml")+".txt", got)
		})
	}
}

// compareFile compares text with a file's content, or writes it with -update.
func compareFile(t *testing.T, path, got string) {
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
		t.Errorf("%s: got\n%swant\n%s", path, got, want)
	}
}

func TestTenMistakesGiveTenMessages(t *testing.T) {
	t.Chdir("testdata")
	_, _, err := Load("ten-mistakes.bad.yaml")
	if errs, ok := errors.AsType[conf.Errors](err); !ok || len(errs) < 10 {
		t.Errorf("got %v", err)
	}
}

func TestLoadFillsDefaults(t *testing.T) {
	t.Chdir("testdata")
	c, _, err := Load("minimal.good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := New()
	want.Name = "blog"
	want.Source.URL = "postgres://haystream@localhost/blog"
	want.Source.Slot, want.Source.Publication, want.Source.ServerID = "haystream_blog", "haystream_blog", c.Source.ServerID
	want.Sink = kinds.Config{NDJSON: &ndjson.Config{Path: "-"}}
	want.Indexes = c.Indexes
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if c.Source.ServerID == 0 || c.Indexes["notes"] == nil {
		t.Errorf("got %+v", c)
	}
}

func TestLoadReadsSecretFiles(t *testing.T) {
	t.Chdir("testdata")
	c, _, err := Load("include.good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	es := c.Sink.Elasticsearch
	if c.Source.Password != "swordfish" || es.APIKey != "swordfish" {
		t.Errorf("got password %q, key %q", c.Source.Password.Reveal(), es.APIKey.Reveal())
	}
	if es.Addresses[1] != "http://localhost:9201" || es.Bulk != (elasticsearch.BulkConfig{MaxBytes: 5 << 20, MaxWait: 1e8, Lanes: 2}) || !es.Compression {
		t.Errorf("got %+v", es)
	}
	if c.Indexes["notes"] == nil || c.Tables["myapp_note"] == nil {
		t.Errorf("the included file is missing: %+v", c)
	}
}

func TestIdentifier(t *testing.T) {
	long := strings.Repeat("n", 70)
	for name, want := range map[string]string{
		"blog": "haystream_blog", "my_blog_2": "haystream_my_blog_2",
		"my-blog": "haystream_my_blog_175ddf", "my.blog": "haystream_my_blog_", "Blog": "haystream_blog_", long: "haystream_nnnn",
	} {
		got := identifier(name)
		if !strings.HasPrefix(got, want) || !validSlot.MatchString(got) {
			t.Errorf("identifier(%q) = %q, want %q", name, got, want)
		}
	}
	if identifier("my-blog") == identifier("my.blog") || identifier(long) == identifier(long+"n") {
		t.Error("two pipelines share a slot")
	}
}

// TestSecretsNeverShow fills every secret setting and looks for it in every
// form in which a config could be printed.
func TestSecretsNeverShow(t *testing.T) {
	const secret = "swordfish"
	c := New()
	n := 0
	fillSecrets(reflect.ValueOf(c).Elem(), secret, &n)
	if n < 5 {
		t.Fatalf("found only %d secret settings", n)
	}
	c.Source.URL = "postgres://haystream:" + secret + "@db/blog"
	var texts []string
	for _, encode := range []func(any) ([]byte, error){yaml.Marshal, json.Marshal} {
		text, err := encode(c)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	texts = append(texts, fmt.Sprint(c), fmt.Sprintf("%+v", *c), fmt.Sprintf("%#v", *c),
		fmt.Sprintf("%+v %#v", *c.Sink.Elasticsearch, *c.Sink.Elasticsearch), fmt.Sprintf("%+v %#v", c.Source, c.HTTP))
	for _, text := range texts {
		if strings.Contains(text, secret) {
			t.Errorf("a secret shows: %s", text)
		}
	}
}

func fillSecrets(v reflect.Value, secret string, n *int) {
	switch {
	case v.Type() == reflect.TypeFor[conf.Secret]():
		v.SetString(secret)
		*n++
	case v.Kind() == reflect.Pointer && !v.IsNil():
		fillSecrets(v.Elem(), secret, n)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fillSecrets(v.Field(i), secret, n)
			}
		}
	}
}

// TestSecretSettingsAreSecrets finds a setting that is named like a secret and
// is not typed as one.
func TestSecretSettingsAreSecrets(t *testing.T) {
	for path, typ := range settings(reflect.TypeFor[Config](), "") {
		name := path[strings.LastIndexByte(path, '.')+1:]
		switch name {
		case "password", "api_key", "token", "url":
			if typ != reflect.TypeFor[conf.Secret]() {
				t.Errorf("%s is a %s", path, typ)
			}
		}
	}
}

// settings lists every setting below a type by its path. The names in a map
// are written as *; a field's fields, which may hold fields again, are listed once.
func settings(t reflect.Type, path string) map[string]reflect.Type {
	all := make(map[string]reflect.Type)
	switch {
	case t == reflect.TypeFor[mapping.Fields]():
		return settings(reflect.TypeFor[map[string]mapping.Field](), path)
	case strings.Contains(path, ".fields.*.fields"), t == reflect.TypeFor[json.RawMessage]():
		return all
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return settings(t.Elem(), path)
	case reflect.Map:
		return settings(t.Elem(), path+".*")
	case reflect.Struct:
		for f := range t.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if name == "" || name == "-" {
				continue
			}
			at := strings.TrimPrefix(path+"."+name, ".")
			all[at] = f.Type
			maps.Copy(all, settings(f.Type, at))
		}
	}
	return all
}

// TestExampleHasEverySetting reads config.example.yaml with the settings that
// it has turned off (a # followed by a word or by indentation; a # and one
// space begins prose): decoding finds one that does not exist, and each that
// exists must be there.
func TestExampleHasEverySetting(t *testing.T) {
	text, err := os.ReadFile("../../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("ES_API_KEY", "key")
	t.Setenv("ES_PASSWORD", "password")
	path := filepath.Join(t.TempDir(), "all.yaml")
	if err := os.WriteFile(path, regexp.MustCompile(`(?m)^( *)#(\S|  +\S)`).ReplaceAll(text, []byte("$1$2")), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := conf.Load(path, New(), "indexes", "tables")
	for line := range strings.SplitSeq(fmt.Sprint(err), "\n") {
		if err != nil && !strings.Contains(line, "no file matches") {
			t.Error(line)
		}
	}
	paths := src.Paths()
	for setting := range settings(reflect.TypeFor[Config](), "") {
		pattern := regexp.MustCompile("^" + strings.NewReplacer(".", `\.`, "*", `[^.]+`).Replace(setting) + "$")
		if !slices.ContainsFunc(paths, pattern.MatchString) {
			t.Errorf("config.example.yaml does not show %s", setting)
		}
	}
}

// TestExampleLoads reads config.example.yaml as it stands.
func TestExampleLoads(t *testing.T) {
	if _, _, err := Load("../../config.example.yaml"); err != nil {
		t.Error(err)
	}
}

func TestLocated(t *testing.T) {
	t.Chdir("testdata")
	src, err := conf.Load("minimal.good.yaml", New())
	if err != nil {
		t.Fatal(err)
	}
	got := Located(mapping.Problems{
		{Path: "indexes.notes.fields.tilte", Message: "no column"}, {Path: "indexes.notes.table", Message: "no table"},
	}, src).Error()
	want := "minimal.good.yaml:8: indexes.notes.table: no table\nminimal.good.yaml:9: indexes.notes.fields.tilte: no column"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestVerifyNext(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ every, at, after, want string }{
		{"24h", "03:00", "2026-11-30 02:59", "2026-11-30 03:00"},
		{"24h", "03:00", "2026-11-30 03:00", "2026-12-01 03:00"},
		{"24h", "03:00", "2026-07-01 12:00", "2026-07-02 03:00"}, // an hour of summer changes nothing
		{"24h", "03:00", "2026-03-28 12:00", "2026-03-29 03:00"}, // nor the day that has one less
		{"24h", "", "2026-11-30 02:59", "2026-12-01 00:00"},
		{"168h", "03:00", "2026-12-02 12:00", "2026-12-07 03:00"}, // a Monday, wherever in the week it is asked
		{"168h", "03:00", "2026-12-06 12:00", "2026-12-07 03:00"},
		{"6h", "03:00", "2026-11-30 10:00", "2026-11-30 15:00"},
		{"6h", "", "2026-11-30 10:00", "2026-11-30 12:00"},
	} {
		every, err := time.ParseDuration(c.every)
		if err != nil {
			t.Fatal(err)
		}
		after, err := time.ParseInLocation("2006-01-02 15:04", c.after, berlin)
		if err != nil {
			t.Fatal(err)
		}
		if got := (VerifyConfig{Every: conf.Duration(every), At: c.at}).Next(after).Format("2006-01-02 15:04"); got != c.want {
			t.Errorf("every %s at %q after %s: %s, want %s", c.every, c.at, c.after, got, c.want)
		}
	}
	v := VerifyConfig{Every: conf.Duration(36 * time.Hour)}
	first := v.Next(time.Date(2026, 11, 30, 12, 0, 0, 0, berlin))
	if second := v.Next(first); second.Sub(first) != 36*time.Hour || !v.Next(first.Add(time.Hour)).Equal(second) {
		t.Errorf("every 36h: %s, then %s", first, second)
	}
	if next := (VerifyConfig{}).Next(first); !next.IsZero() {
		t.Errorf("never: %s", next)
	}
}

// TestReachesSource: the catalog is asked in spite of mistakes that say nothing about where the source is.
func TestReachesSource(t *testing.T) {
	dir := t.TempDir()
	for source, want := range map[string]bool{
		`{url: "postgres://db/blog", slott: x}`:                     true,
		`{url: "postgres://db/blog", snapshot: {paralel: 2}}`:       true,
		`{url: "postgres://db/blog", snapshot: {chunk_rows: many}}`: true,
		`{ulr: "postgres://db/blog"}`:                               false,
		`{url: "postgres://db/blog", pasword_file: x}`:              false,
	} {
		path := filepath.Join(dir, "config.yaml")
		text := "name: blog\nsource: " + source + "\nsink: {ndjson: {}}\nindexes: {notes: {table: note, fields: \"*\"}}\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, src, err := Load(path)
		errs, _ := errors.AsType[conf.Errors](err)
		if got := ReachesSource(src, errs); got != want || len(errs) == 0 {
			t.Errorf("%s: %t with %v", source, got, err)
		}
	}
}
