package sources

import (
	"encoding/json"
	"reflect"
	"testing"
)

// TestKeyAsJSON: a key comes back byte for byte, so that reading goes on where it was.
func TestKeyAsJSON(t *testing.T) {
	for _, key := range []Key{nil, {}, {"1", "ü"}, {"caf\xe9", "caf\ufffd"}, {`{"base64":"eA=="}`}} {
		text, err := json.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		var back Key
		if err := json.Unmarshal(text, &back); err != nil || len(key) != len(back) || len(key) > 0 && !reflect.DeepEqual(key, back) {
			t.Errorf("%q as %s comes back as %q, %v", key, text, back, err)
		}
	}
	var old Key
	if err := json.Unmarshal([]byte(`["a","b"]`), &old); err != nil || !reflect.DeepEqual(old, Key{"a", "b"}) {
		t.Errorf("got %q, %v", old, err)
	}
}
