package commands

import (
	"strings"
	"testing"

	"haystream/internal/preflight"
)

func TestReport(t *testing.T) {
	var out strings.Builder
	err := report([]preflight.Finding{
		{Level: preflight.OK, Subject: "source", Text: "postgres 15.1"},
		{Level: preflight.Warning, Subject: "table public.notes", Text: "long texts", Remedy: "ALTER TABLE\n  notes"},
		{Level: preflight.Error, Subject: "config.yaml:14 and a rather long subject", Text: "no column"},
		{Level: preflight.Error, Subject: "sink", Text: "down:\n\tno route"},
	}, &out)
	want := `ok       source              postgres 15.1
warning  table public.notes  long texts; to mend it: ALTER TABLE notes
error    config.yaml:14 and a rather long subject  no column
error    sink                down: no route
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	if err == nil || err.Error() != "check found 2 errors" {
		t.Errorf("got %v", err)
	}
	if err := report(nil, &out); err != nil {
		t.Error(err)
	}
}
