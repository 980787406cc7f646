package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	docs := func(docs ...string) map[string]json.RawMessage {
		out := map[string]json.RawMessage{}
		for _, doc := range docs {
			id, body, _ := strings.Cut(doc, " ")
			out[id] = json.RawMessage(body)
		}
		return out
	}
	want := docs(`1 {"n": 1.50, "s": "a", "z": null}`, `2 {"n": 9007199254740993}`)
	tests := []struct {
		name string
		got  map[string]json.RawMessage
		says string // of the result, without its first line
	}{
		{"equal", docs(`2 {"n":9007199254740993}`, `1 {"z":null,"s":"a","n":1.50}`), ""},
		{"missing", docs(`2 {"n":9007199254740993}`), "missing 1"},
		{"extra", docs(`1 {"n":1.50,"s":"a","z":null}`, `2 {"n":9007199254740993}`, `3 {}`), "extra 3"},
		{"text", docs(`1 {"n":1.50,"s":"b","z":null}`, `2 {"n":9007199254740993}`), `different 1: s: row has "a", document has "b"`},
		{"last digit", docs(`1 {"n":1.50,"s":"a","z":null}`, `2 {"n":9007199254740992}`), `different 2: n: row has 9007199254740993, document has 9007199254740992`},
		{"number as text", docs(`1 {"n":"1.50","s":"a","z":null}`, `2 {"n":9007199254740993}`), `different 1: n: row has 1.50, document has "1.50"`},
		{"null left out", docs(`1 {"n":1.50,"s":"a"}`, `2 {"n":9007199254740993}`), "different 1: z: not in the document"},
		{"one field more", docs(`1 {"n":1.50,"s":"a","z":null}`, `2 {"n":9007199254740993,"password":"x"}`), "different 2: password: in the document only"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := compare(want, tt.got)
			if err != nil {
				t.Fatal(err)
			}
			_, says, _ := strings.Cut(r.String(), "\n    ")
			if says != tt.says || r.equal() != (tt.says == "") {
				t.Errorf("equal: %t, says %q; want %q", r.equal(), says, tt.says)
			}
		})
	}
}

func TestCompareRefusesBrokenDocuments(t *testing.T) {
	whole := map[string]json.RawMessage{"1": json.RawMessage(`{}`)}
	broken := map[string]json.RawMessage{"1": json.RawMessage(`{`)}
	if _, err := compare(whole, broken); err == nil {
		t.Error("no error for a document that is not JSON")
	}
}
