package conf

import "testing"

func TestNearest(t *testing.T) {
	candidates := []string{"title", "body", "pub_date", "user_id", "user", "max_rows_per_second"}
	for name, want := range map[string]string{
		"tilte":               "title",
		"titel":               "title",
		"Title":               "title",
		"pubdate":             "pub_date",
		"pub_dat":             "pub_date",
		"userid":              "user_id",
		"bod":                 "body",
		"max_row_per_seconds": "max_rows_per_second",
		"created_at":          "",
		"x":                   "",
		"":                    "",
		"user":                "", // is one itself
	} {
		if got := Nearest(name, candidates); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
	if got := Nearest("title", nil); got != "" {
		t.Errorf("with no candidates: %q", got)
	}
}

func TestDidYouMean(t *testing.T) {
	for _, test := range []struct{ name, candidate, want string }{
		{"tilte", "title", `; did you mean "title"?`},
		{"colour", "title", ""},
		{"title", "title", ""},
		{"Title", "title", `; did you mean "title"?`},
		{"größ", "größe", `; did you mean "größe"?`},
		{"t\u0456tle", "title", `; did you mean "title"? The two are "t\u0456tle" and "title"`},
		{"title", "tit\u200ble", "; did you mean \"tit\u200ble\"? The two are \"title\" and \"tit\\u200ble\""},
		{"cafe\u0301_name", "caf\u00e9_name", "; did you mean \"caf\u00e9_name\"? The two are \"cafe\\u0301_name\" and \"caf\\u00e9_name\""},
	} {
		if got := DidYouMean(test.name, []string{test.candidate}); got != test.want {
			t.Errorf("%+q for %+q: got %s, want %s", test.name, test.candidate, got, test.want)
		}
	}
}
