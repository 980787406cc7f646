package widgets

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestShiftLucene(t *testing.T) {
	day := Span{1, 'd'}
	for text, want := range map[string]string{
		"":                                       "",
		"now":                                    "now",
		"created:now":                            "created:now",
		"created:>=now-1d":                       "created:>=now-1d-1d until created",
		"created:>now/d AND a:b":                 "created:>now-1d/d AND a:b until created",
		`created:>=now\/d`:                       `created:>=now-1d\/d until created`,
		"created: >=now-1d":                      "created: >=now-1d-1d until created",
		`created:>="now-1d"`:                     `created:>="now-1d-1d" until created`,
		"created:[now-1d TO now]":                "created:[now-1d-1d TO now-1d]",
		"created:[now-1d TO *]":                  "created:[now-1d-1d TO *] until created",
		"created:{* TO now-7d}":                  "created:{* TO now-1d-7d}",
		"created:<now":                           "created:<now-1d",
		"expires:>=now":                          "expires:>=now-1d",
		"expires:>=now+1d":                       "expires:>=now-1d+1d",
		"created:(>=now-1d AND <now)":            "created:(>=now-1d-1d AND <now-1d) until created",
		"a:(x OR (y)) created:>now-1w":           "a:(x OR (y)) created:>now-1d-1w until created",
		`"created:>=now-1d"`:                     `"created:>=now-1d"`,
		`title:"a [now TO b" created:>=now-1d`:   `title:"a [now TO b" created:>=now-1d-1d until created`,
		`title:/[now]/ created:>=now/M`:          `title:/[now]/ created:>=now-1d/M until created`,
		`url:http\:\/\/x created:>=now/y`:        `url:http\:\/\/x created:>=now-1d/y until created`,
		"nowhere:>=nowadays":                     "nowhere:>=nowadays",
		"NOT created:>=now-1d OR other:>=now-1h": "NOT created:>=now-1d-1d OR other:>=now-1d-1h until created other",
		"total:>=5 AND created:>=2024-01-01":     "total:>=5 AND created:>=2024-01-01",
	} {
		got, until := shiftLucene(text, day)
		if len(until) > 0 {
			got += " until " + strings.Join(until, " ")
		}
		if got != want {
			t.Errorf("%s: got\n%s, want\n%s", text, got, want)
		}
	}
}

func TestLuceneThatServersTake(t *testing.T) {
	for text, want := range map[string]string{
		"created:>=now/d":                        `created:>=now\/d`,
		`created:>=now\/d`:                       `created:>=now\/d`,
		`created:>="now-1d/d" a:/x/`:             `created:>=now\-1d\/d a:/x/`,
		`created:<="2024-01-01T00:00" b:"c"`:     `created:<=2024\-01\-01T00\:00 b:"c"`,
		"created:[now-1d/d TO now/d}":            "created:[now-1d/d TO now/d}",
		"created:(>now/M AND <=now) x:<now-1w/w": `created:(>now\/M AND <=now) x:<now-1w\/w`,
		`open:>="now`:                            `open:>="now`,
	} {
		if got := Lucene(text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestFieldsOfQuery(t *testing.T) {
	for text, want := range map[string][]string{
		"a:b AND (c.d:>1 OR -e:[1 TO 2])": {"a", "c.d", "e"},
		`word "quoted:x" f:"a:b" g:(h i)`: {"f", "g"},
		"_exists_:a AND b*:c":             {"a"},
		`time:12\:30 t:2024-01-01T00:00`:  {"time", "t"},
	} {
		if got := (&Query{Lucene: text}).fields(); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

// FuzzScanLucene: any text is read to its end, and a shift changes nothing but what follows a now.
func FuzzScanLucene(f *testing.F) {
	for _, seed := range []string{"a:[now TO b}", `\`, `a:"`, "a:(b", ")(:", "/", "a:>=", "[", "_exists_:", `a\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		shifted, _ := shiftLucene(text, Span{1, 'd'})
		if got := strings.ReplaceAll(shifted, "now-1d", "now"); got != strings.ReplaceAll(text, "now-1d", "now") {
			t.Errorf("%q became %q", text, shifted)
		}
	})
}

// TestCompareAsksBothInOneSearch: the query as it is, and as it was.
func TestCompareAsksBothInOneSearch(t *testing.T) {
	for name, c := range map[string]struct {
		query Query
		want  string
	}{
		"lucene": {Query{Lucene: "created:>=now-1d"}, `{"bool":{"filter":[{"query_string":{"analyze_wildcard":true,"query":"created:\u003e=now-1d-1d","time_zone":"UTC"}}],"must_not":[{"range":{"created":{"gte":"now-1d"}}}]}}`},
		"range":  {Query{DSL: json.RawMessage(`{"range":{"created":{"gte":"now/d"}}}`)}, `{"bool":{"filter":[{"range":{"created":{"gte":"now-1d/d","time_zone":"UTC"}}}],"must_not":[{"range":{"created":{"gte":"now-1d"}}}]}}`},
		"closed": {Query{DSL: json.RawMessage(`{"range":{"created":{"gte":"now-2d","lt":"now-1d"}}}`)}, `{"range":{"created":{"gte":"now-1d-2d","lt":"now-1d-1d","time_zone":"UTC"}}}`},
		"within": {Query{DSL: json.RawMessage(`{"bool":{"must":[{"query_string":{"query":"created:<now"}},{"term":{"n":12345678901234567890}}]}}`)}, `{"bool":{"must":[{"query_string":{"query":"created:\u003cnow-1d","time_zone":"UTC"}},{"term":{"n":12345678901234567890}}]}}`},
	} {
		q := &question{config: &Config{Query: c.query, Compare: Span{1, 'd'}}, fields: &Fields{}, zone: "UTC"}
		body, err := q.body()
		if err != nil {
			t.Fatal(err)
		}
		var search struct {
			Aggs struct {
				Before struct {
					Filter json.RawMessage `json:"filter"`
				} `json:"before"`
			} `json:"aggs"`
		}
		if err := json.Unmarshal(body, &search); err != nil {
			t.Fatal(err)
		}
		if got := string(search.Aggs.Before.Filter); got != c.want {
			t.Errorf("%s: got\n%s, want\n%s", name, got, c.want)
		}
	}
}

func TestPlain(t *testing.T) {
	for _, c := range []struct {
		n        json.Number
		decimals int
		want     string
	}{
		{"1.2345678905E8", 2, "123456789.05"},
		{"10", 2, "10.00"},
		{"0.1", -1, "0.1"},
		{"12", 0, "12"},
		{"12.0", 0, "12"},
		{"9007199254740993", 0, "9007199254740993"},
		{"1E3", -1, "1000"},
		{"-1.5E-3", -1, "-0.0015"},
		{"1e300", 2, "1e300"},
		{"NaN", 2, "null"},
	} {
		if got := string(plain(c.n, c.decimals)); got != c.want {
			t.Errorf("%s with %d decimals: got %s, want %s", c.n, c.decimals, got, c.want)
		}
	}
	if got := string(plain(rounded("1234.5600000000004"), -1)); got != "1234.56" {
		t.Errorf("got %s", got)
	}
}
