package replicator

import (
	"strings"
	"testing"
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
		err := confirm(c.options, &strings.Builder{})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
