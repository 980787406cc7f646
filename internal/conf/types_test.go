package conf

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "17": 17, "17B": 17, "5MiB": 5 << 20, "1.5 KiB": 1536, "1kB": 1000, "2GB": 2e9, " 1TiB ": 1 << 40,
	} {
		if got, err := parseBytes(text); err != nil || got != want {
			t.Errorf("parseBytes(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "5 apples", "1e30", "9999999TiB"} {
		if got, err := parseBytes(text); err == nil {
			t.Errorf("parseBytes(%q) = %d, want an error", text, got)
		}
	}
}

func TestBytesString(t *testing.T) {
	for size, want := range map[Bytes]string{0: "0B", 999: "999B", 5 << 20: "5MiB", 1536: "1.5KiB", 1 << 40: "1TiB"} {
		if got := size.String(); got != want {
			t.Errorf("%d is %q, want %q", int64(size), got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	var d Duration
	if err := d.UnmarshalText([]byte("1m30s")); err != nil || time.Duration(d) != 90*time.Second || d.String() != "1m30s" {
		t.Errorf("got %v, %v", d, err)
	}
	for _, text := range []string{"", "5", "-1s", "1 hour"} {
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is no duration", text)
		}
	}
}

func TestSecretIsHidden(t *testing.T) {
	s := struct {
		Password Secret `json:"password"`
		None     Secret `json:"none"`
	}{Password: "swordfish"}
	for _, got := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %+v", s, s), fmt.Sprintf("%s %q %x", s, s, s), fmt.Sprintf("%#v", s.Password),
	} {
		for _, secret := range []string{"swordfish", "73776f7264", "[115"} {
			if strings.Contains(got, secret) {
				t.Errorf("the secret shows: %s", got)
			}
		}
	}
	if text, err := json.Marshal(s); err != nil || string(text) != `{"password":"***","none":""}` {
		t.Errorf("got %s, %v", text, err)
	}
	if s.Password.Reveal() != "swordfish" {
		t.Error("Reveal does not")
	}
}
