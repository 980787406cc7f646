package main

import (
	"testing"
)

// TestFindings wants what is reached, once, and nothing that is only imported.
func TestFindings(t *testing.T) {
	got, err := findings([]byte(`{"config":{"go_version":"go1.26.8"}}
{"osv":{"id":"GO-1"}}
{"finding":{"osv":"GO-1","fixed_version":"v1.2.0","trace":[{"module":"example.org/m","version":"v1.1.0"}]}}
{"finding":{"osv":"GO-1","fixed_version":"v1.2.0","trace":[{"module":"example.org/m","version":"v1.1.0","package":"example.org/m/p","function":"F"},{"module":"haystream","package":"haystream","function":"main"}]}}
{"finding":{"osv":"GO-1","fixed_version":"v1.2.0","trace":[{"module":"example.org/m","version":"v1.1.0","package":"example.org/m/p","function":"G"}]}}
{"finding":{"osv":"GO-2","trace":[{"module":"stdlib","version":"v1.26.8","package":"net/http"}]}}
`))
	if err != nil || len(got) != 1 {
		t.Fatalf("got %v, %v", got, err)
	}
	want := "GO-1: example.org/m v1.1.0, in example.org/m/p, which the program calls; fixed in v1.2.0: https://pkg.go.dev/vuln/GO-1"
	if got[0].String() != want {
		t.Errorf("got %s", got[0])
	}
	if _, err := findings([]byte(`{"finding":`)); err == nil {
		t.Error("findings that are cut off are taken for whole")
	}
}
