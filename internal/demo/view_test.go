package main

import (
	"strings"
	"testing"
	"time"
)

func TestDrawFitsTheScreen(t *testing.T) {
	s := sample{
		elapsed:  83 * time.Second,
		writes:   []float64{0, 100, 312.4},
		lags:     []float64{0.04, 12},
		days:     []bar{{"Tue 24 Nov", 58}, {"Mon 23 Nov", 117}},
		authors:  []bar{{"somebody.with.a.very.long.name", 1234}},
		found:    found{words: "night train", total: 12, took: 3, notes: []foundNote{{"A title", "the " + hitStart + "night train" + hitEnd + strings.Repeat(" goes on", 30)}}},
		problems: []string{"something\nis wrong"},
	}
	for _, tr := range truths() {
		s.tables = append(s.tables, tableSample{truth: tr, rows: 99_999, documents: unknown})
	}
	s.tables[1].DeadLetters = 7
	s.tables[2].Snapshot.State = "running"
	on := &stage{db: &database{dialect: postgres()}, elastic: "http://127.0.0.1:9200", status: "http://127.0.0.1:9600/status", button: "http://127.0.0.1:9601/", boards: "/tmp/dashboards.ndjson"}
	for _, size := range []struct{ width, height int }{{80, 24}, {110, 40}, {60, 20}, {200, 70}} {
		lines := draw(s, on, min(size.width, widest), size.height)
		if len(lines) != size.height {
			t.Errorf("%v: %d lines", size, len(lines))
		}
		for _, line := range lines {
			if n := columns(clip(line, size.width)); n > size.width {
				t.Errorf("%v: %d columns: %q", size, n, line)
			}
		}
		text := strings.Join(lines, "\n")
		for _, want := range []string{"99,999", "312/s", "12.0 s", "1:23", "Tue 24 Nov", "night train", "Ctrl-C", "http://127.0.0.1:9600/ ", "/tmp/dashboards.ndjson", "something is wrong"} {
			if !strings.Contains(text, want) {
				t.Errorf("%v: no %q in\n%s", size, want, text)
			}
		}
	}
}

func TestClip(t *testing.T) {
	tests := []struct {
		line  string
		width int
		want  string
	}{
		{"short", 5, "short" + reset},
		{"longer", 5, "long" + reset + "…"},
		{red + "Żółw" + reset, 4, red + "Żółw" + reset + reset},
		{red + "Żółwie" + reset, 4, red + "Żół" + reset + "…"},
		{"", 0, reset},
	}
	for _, tt := range tests {
		if got := clip(tt.line, tt.width); got != tt.want {
			t.Errorf("clip(%q, %d) = %q, want %q", tt.line, tt.width, got, tt.want)
		}
	}
}

func TestCharts(t *testing.T) {
	tests := []struct{ name, got, want string }{
		{"full beam", beam(1, 3), "███"},
		{"part of a beam", beam(0.5, 3), "█▌ "},
		{"no beam", beam(0, 3), "   "},
		{"curve", curve([]float64{9, 0, 1, 2}, 3), "▁▄█"},
		{"flat curve", curve([]float64{0, 0}, 3), "▁▁ "},
		{"thousands", amount(1234567), "1,234,567"},
		{"hundreds", amount(123), "123"},
		{"unknown", amount(unknown), "–"},
		{"milliseconds", seconds(0.0424), "42 ms"},
		{"seconds", seconds(12.34), "12.3 s"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, tt.got, tt.want)
		}
	}
}
