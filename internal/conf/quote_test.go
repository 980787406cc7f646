package conf

import (
	"os"
	"path/filepath"
	"testing"
)

// TestQuote: what is written is read back as it was.
func TestQuote(t *testing.T) {
	for _, text := range []string{
		"title", "pub_date", "public.note", "a-b", "true", "No", "null", "~", "", " ", "a b", "1", "1.5", "0x1f", "2020-01-01", "<<", "*", "&a", "!x", "#", "a: b", "a #b",
		"- a", "[a]", "{a}", "%", "@", "`", `"`, `'`, `\`, "a\nb", "a\tb", "\x7f", "\u0085", "\u2028", "é", "日本", "${HOME}", "$${HOME}", "a${", "$", "=",
	} {
		path := filepath.Join(t.TempDir(), "config.yaml")
		written := Quote(text) + " and " + QuoteKey(text)
		if err := os.WriteFile(path, []byte("values: {"+QuoteKey(text)+": "+Quote(text)+", list: "+QuoteList([]string{text, "b"})+"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var read struct {
			Values map[string]any `yaml:"values"`
		}
		if _, err := Load(path, &read); err != nil {
			t.Errorf("%q is written as %s: %v", text, written, err)
			continue
		}
		list, _ := read.Values["list"].([]any)
		if read.Values[text] != text || len(list) != 2 || list[0] != text {
			t.Errorf("%q is written as %s and read as %q", text, written, read.Values)
		}
	}
	if got, want := QuoteList([]string{"a", "b c"}), `[a, "b c"]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := QuoteList([]string{"a"}); got != "a" {
		t.Errorf("got %s", got)
	}
}
