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
	if got, want := DidYouMean("tilte", []string{"title"}), `; did you mean "title"?`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := DidYouMean("colour", []string{"title"}); got != "" {
		t.Errorf("got %q, want nothing", got)
	}
}
