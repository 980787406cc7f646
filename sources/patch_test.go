package sources

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestApplyPatch(t *testing.T) {
	tests := []struct {
		old, patch, want string
		err              error
	}{
		{`{"a": 1}`, `[]`, `{"a": 1}`, nil},
		{`{"a": 1}`, `[["replace", [], [2]]]`, `[2]`, nil},
		{`{"a": 1, "b": 2}`, `[["replace", ["a"], {"x": 1}]]`, `{"a": {"x": 1}, "b": 2}`, nil},
		{`{"a": [1, {"b": [2, 3]}]}`, `[["replace", ["a", 1, "b", 0], "x"]]`, `{"a": [1, {"b": ["x", 3]}]}`, nil},
		{`[1, 2, 3]`, `[["replace", [-1], 4], ["replace", [-3], 0]]`, `[0, 2, 4]`, nil},
		// Numbers keep their digits.
		{`[12345678901234567890.10, 1e300, 18446744073709551615]`, `[["replace", [1], 1.50]]`, `[12345678901234567890.10, 1.50, 18446744073709551615]`, nil},
		// Members are in order of their names' lengths, then of their bytes.
		{`{}`, `[["insert", ["a"], 1]]`, `{"a": 1}`, nil},
		{`{"b": 1}`, `[["insert", ["aa"], 2], ["insert", ["a"], 3], ["insert", ["c"], 4], ["insert", [""], 5]]`, `{"": 5, "a": 3, "b": 1, "c": 4, "aa": 2}`, nil},
		{`{"b": {"é": 1}}`, `[["insert", ["b", "zz"], 2], ["insert", ["b", "aaa"], 3]]`, `{"b": {"zz": 2, "é": 1, "aaa": 3}}`, nil},
		{`{"z": 1, "\n": 2, "\"\\": 3}`, `[["remove", ["\u000a"]], ["replace", ["\"\\"], 4], ["insert", ["\t"], 5]]`, `{"\t": 5, "z": 1, "\"\\": 4}`, nil},
		{`{"\ud83d\ude00": 1}`, `[["replace", ["😀"], 2]]`, `{"\ud83d\ude00": 2}`, nil},
		{`[]`, `[["insert", [0], 1]]`, `[1]`, nil},
		{`[1, 2]`, `[["insert", [0], 0], ["insert", [2], "m"], ["insert", [9], 3]]`, `[0, 1, "m", 2, 3]`, nil},
		{`[1, 2]`, `[["insert", [-1], "m"], ["insert", [-9], 0]]`, `[0, 1, "m", 2]`, nil},
		{`{"a": 1, "b": 2, "c": 3}`, `[["remove", ["b"]]]`, `{"a": 1, "c": 3}`, nil},
		{`{"a": 1, "b": 2, "c": 3}`, `[["remove", ["c"]], ["remove", ["a"]], ["remove", ["b"]]]`, `{}`, nil},
		{`[1, [2], 3]`, `[["remove", [1, 0]], ["remove", [0]], ["remove", [-1]]]`, `[[]]`, nil},
		{`{"a": "]}, \"b\": 1", "b": 2}`, `[["replace", ["b"], 3]]`, `{"a": "]}, \"b\": 1", "b": 3}`, nil},
		// Element 0 of what is no array is the value itself.
		{`{"a": 1}`, `[["replace", ["a", 0], 2]]`, `{"a": 2}`, nil},
		{`{"a": {"b": 1}}`, `[["replace", [0, "a", -1, "b"], 2]]`, `{"a": {"b": 2}}`, nil},

		{`{"a": 1}`, `[["replace", ["b"], 2]]`, ``, errPatchPath},
		{`{"a": 1}`, `[["insert", ["a"], 2]]`, ``, errPatchPath},
		{`{"a": 1}`, `[["insert", ["a", "b"], 2]]`, ``, errPatchPath},
		{`{"a": 1}`, `[["insert", ["b", "b"], 2]]`, ``, errPatchPath},
		{`{"a": 1}`, `[["insert", [1], 2]]`, ``, errPatchPath},
		{`{"a": 1}`, `[["remove", ["b"]]]`, ``, errPatchPath},
		{`{"a": 1}`, `[["remove", ["a", "b"]]]`, ``, errPatchPath},
		{`{"0": 1}`, `[["remove", [0]]]`, ``, errPatchPath},
		{`[1]`, `[["replace", [1], 2]]`, ``, errPatchPath},
		{`[1]`, `[["replace", [-2], 2]]`, ``, errPatchPath},
		{`[1]`, `[["replace", ["0"], 2]]`, ``, errPatchPath},
		{`5`, `[["remove", ["a"]]]`, ``, errPatchPath},
		{``, `[["replace", [], 2]]`, ``, errPatchOld},
		{`{"a": 1`, `[["replace", ["a"], 2]]`, ``, errPatchOld},
		{`{"a": 1}`, ``, ``, errPatch},
		{`{"a": 1}`, `[["remove", []]]`, ``, errPatch},
		{`{"a": 1}`, `[["insert", [], 1]]`, ``, errPatch},
		{`{"a": 1}`, `[["replace", ["a"]]]`, ``, errPatch},
		{`{"a": 1}`, `[["remove", ["a"], 1]]`, ``, errPatch},
		{`{"a": 1}`, `[["test", ["a"], 1]]`, ``, errPatch},
		{`{"a": 1}`, `[["replace", [true], 1]]`, ``, errPatch},
		{`{"a": 1}`, `[["replace", ["a"], 1]`, ``, errPatch},
	}
	for _, test := range tests {
		got, err := ApplyPatch([]byte("before "), []byte(test.old), []byte(test.patch))
		if want := "before " + test.want; string(got) != want || !errors.Is(err, test.err) {
			t.Errorf("%s by %s: %s, %v; want %s, %v", test.old, test.patch, got, err, want, test.err)
		}
	}
}

// FuzzApplyPatch looks for what makes it panic, or make no JSON of JSON.
func FuzzApplyPatch(f *testing.F) {
	f.Add(`{"a": [1, {"b": 2}], "bb": "x"}`, `[["replace", ["a", 1, "b"], 3], ["insert", ["c"], 4], ["remove", ["bb"]], ["insert", ["a", -1], []]]`)
	f.Add(`[1, "\"", {}]`, `[["remove", [0]], ["insert", [2, "\u00e9"], null]]`)
	f.Fuzz(func(t *testing.T, old, patch string) {
		got, err := ApplyPatch(nil, []byte(old), []byte(patch))
		if err == nil && json.Valid([]byte(old)) && json.Valid([]byte(patch)) && !json.Valid(got) {
			t.Errorf("%q by %q is %q", old, patch, got)
		}
	})
}
