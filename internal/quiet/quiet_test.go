package quiet

import (
	"fmt"
	"testing"
	"time"
)

func TestKind(t *testing.T) {
	for _, same := range [][2]string{
		{"read tcp 127.0.0.1:54321->127.0.0.1:9200: read: connection reset by peer", "read tcp 127.0.0.1:40112->127.0.0.1:9200: read: connection reset by peer"},
		{"read tcp [::1]:54321->[::1]:9200: EOF", "read tcp [::1]:40112->[::1]:9200: EOF"},
		{"dial tcp [fe80::1c2:9aff]:5432: i/o timeout", "dial tcp [fe80::77:1]:5432: i/o timeout"},
		{"the server has not answered a request for 15s", "the server has not answered a request for 1m30s"},
		{"slot is active for PID 4711", "slot is active for PID 12"},
		{"saved by another daemon, at 2026-01-02T03:04:05Z", "saved by another daemon, at 2026-01-02T03:05:05+01:00"},
		{"at position 0/16B3748", "at position 1A/7F000028"},
		{"request 0e0b1c7a-2f4b-4b62-8d6f-53a6c1d5e9aa failed", "request 6a1d1f7e-9c55-4c37-b8a2-7be0a0d0c2f1 failed"},
		{"would be [510027366/486.4mb], real usage: [1024/1kb]", "would be [51002736/48.6mb], real usage: [7/7b]"},
		{"node abcdef0123 left", "node 99ffeeddcc left"},
	} {
		if a, b := kindOf(same[0]), kindOf(same[1]); a != b {
			t.Errorf("two kinds:\n%s\n%s", a, b)
		}
	}
	for _, other := range [][2]string{
		{"read tcp 127.0.0.1:54321->127.0.0.1:9200: connection reset by peer", "read tcp 127.0.0.1:54321->127.0.0.1:9200: i/o timeout"},
		{"the index notes-20260101-120000-000 is closed", "the index people-20260101-120000-000 is closed"},
		{"table t1 is gone", "table t2 is gone"},
	} {
		if a, b := kindOf(other[0]), kindOf(other[1]); a == b {
			t.Errorf("one kind: %s", a)
		}
	}
}

func TestTellsEachKindOnceAndThatItGoesOn(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l := Log{now: func() time.Time { return now }}
	if _, failed := l.Over(); failed {
		t.Error("a trouble ends that never was")
	}
	told := 0
	for second := range 601 {
		if lasted, tell := l.Failed(fmt.Sprintf("read tcp 127.0.0.1:%d: reset", 30000+second)); tell {
			told++
			if want := time.Duration(second) * time.Second; lasted != want {
				t.Errorf("told after %v, want %v", lasted, want)
			}
		}
		now = now.Add(time.Second)
	}
	if told != 3 {
		t.Errorf("ten minutes were told %d times, want 3", told)
	}
	if _, tell := l.Failed("connection refused"); !tell {
		t.Error("another kind is not told")
	}
	if lasted, failed := l.Over(); !failed || lasted != 601*time.Second {
		t.Errorf("over after %v, %v", lasted, failed)
	}
	if lasted, tell := l.Failed("connection refused"); !tell || lasted != 0 {
		t.Errorf("the next trouble: told %v, after %v", tell, lasted)
	}
}

// TestNoFlood: reasons whose difference nobody knows of.
func TestNoFlood(t *testing.T) {
	var l Log
	told := 0
	for i := range 1000 {
		if _, tell := l.Failed(fmt.Sprintf("failed at %c%c", 'a'+i%26, 'a'+i/26%26)); tell {
			told++
		}
	}
	if told > maxKinds {
		t.Errorf("told %d times", told)
	}
}
