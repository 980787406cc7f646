package commands

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haystream/mapping/rowstore"
	"haystream/replicator/config"
)

func TestConfirm(t *testing.T) {
	for name, c := range map[string]struct {
		options RemoveOptions
		want    string // in the error; empty for none
	}{
		"told so":          {RemoveOptions{Yes: true}, ""},
		"nobody there":     {RemoveOptions{}, "add --yes"},
		"yes":              {RemoveOptions{In: strings.NewReader("yes\n")}, ""},
		"yes, end of file": {RemoveOptions{In: strings.NewReader("yes")}, ""},
		"no":               {RemoveOptions{In: strings.NewReader("no\n")}, "nothing removed"},
		"return":           {RemoveOptions{In: strings.NewReader("\n")}, "nothing removed"},
		"gone":             {RemoveOptions{In: strings.NewReader("")}, "nothing removed"},
	} {
		err := confirm(c.options.Yes, c.options.In, "removed", &strings.Builder{})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestRemoveOfTheRowStore(t *testing.T) {
	cfg := &config.Config{Name: "blog"}
	cfg.State.Path = t.TempDir()
	look := func() *removal {
		r := &removal{store: cfg.StoreDir()}
		if err := r.planStore(); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := look(); len(r.lines) > 0 || r.removeState() != nil {
		t.Errorf("without a store: %q", r.lines)
	}
	store, err := rowstore.Open(cfg.StoreDir(), rowstore.Meta{}, rowstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = (&removal{store: cfg.StoreDir()}).planStore()
	if !errors.Is(err, rowstore.ErrLocked) || !strings.Contains(err.Error(), "a daemon is running") {
		t.Errorf("in use: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(cfg.State.Path, "other")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := look()
	if text, _ := announce([]*removal{r}); text != "will drop row store "+cfg.StoreDir()+"\n" {
		t.Errorf("it says %q", text)
	}
	if err := r.removeState(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(cfg.State.Path)
	if err != nil || len(left) != 2 || left[0].Name() != "blog" || left[1].Name() != "other" {
		t.Errorf("left are %v, %v", left, err)
	}
}

func TestRemoveOfWhatVerifyHasFound(t *testing.T) {
	cfg := &config.Config{Name: "blog"}
	cfg.State.Path = t.TempDir()
	look := func() *removal {
		r := &removal{verified: []string{cfg.VerifyFile(), cfg.VerifyDir()}}
		r.planVerified()
		return r
	}
	if r := look(); len(r.lines) > 0 {
		t.Errorf("without a comparison: %q", r.lines)
	}
	if err := os.MkdirAll(filepath.Join(cfg.VerifyDir(), "ids"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cfg.VerifyFile(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := look()
	want := "will drop what verify has found in " + cfg.VerifyFile() + "\nwill drop what verify has found in " + cfg.VerifyDir() + "\n"
	if text, _ := announce([]*removal{r}); text != want {
		t.Errorf("it says %q", text)
	}
	if err := r.removeState(); err != nil {
		t.Fatal(err)
	}
	if r := look(); len(r.verified) > 0 {
		t.Errorf("left are %q", r.verified)
	}
}
