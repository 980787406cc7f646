package config

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"haystream/internal/conf"
)

// FuzzLoad: whatever a config's text is, it is read, or there are mistakes with their lines.
func FuzzLoad(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(paths, "../../config.example.yaml") {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := Load(path)
		if err == nil {
			return
		}
		all, ok := errors.AsType[conf.Errors](err)
		if !ok || len(all) == 0 {
			t.Fatalf("%T: %v", err, err)
		}
		for _, e := range all {
			if e.Message == "" {
				t.Errorf("a mistake without a word: %+v", e)
			}
		}
	})
}
