package web

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"haystream/replicator/joins"
)

// TestReasonsAreInTheDocs wants all that is said of each reason, and the same in docs/operations.md.
func TestReasonsAreInTheDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	if table := reasonTable(); !strings.Contains(string(text), "\n\n"+table+"\n") {
		t.Errorf("docs/operations.md must have this table:\n\n%s", table)
	}
	names := map[string]bool{}
	for r, said := range reasonTexts {
		if said.name == "" || said.line == "" || said.metric == "" || said.remedy == "" {
			t.Errorf("reason %d is not told of in full: %+v", r, said)
		}
		if names[said.name] {
			t.Errorf("two reasons are named %s", said.name)
		}
		names[said.name] = true
		if said.silent && said.log != "" {
			t.Errorf("%s has a line in the log, and none", said.name)
		}
	}
}

// exposed has all metrics, while the sink is down and the source lags. An index was verified.
func exposed() *prometheus.Registry {
	d := &stage{why: []Trouble{{SinkDown, "sink: away"}, {Lag, "2m0s behind the source"}}}
	d.status = Status{
		Source: SourceStatus{LagBytes: 1, RetainedBytes: 1, SafeBytes: 1}, Indexes: []IndexStatus{{Alias: "notes", Verified: &VerifyStatus{}}}, Store: &joins.Status{},
		Events: &EventsStatus{Refused: map[string]int64{"full": 1}},
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collector{d})
	return metrics
}

// TestMetricsAreInTheDocs wants each metric with its labels and what it says in docs/operations.md.
func TestMetricsAreInTheDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	families, err := exposed().Gather()
	if err != nil {
		t.Fatal(err)
	}
	table := "| metric | |\n|---|---|\n"
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		name := f.GetName()
		if labels != nil {
			name += "{" + strings.Join(labels, ", ") + "}"
		}
		table += fmt.Sprintf("| `%s` | %s |\n", name, f.GetHelp())
	}
	if !strings.Contains(string(text), "\n\n"+table+"\n") {
		t.Errorf("docs/operations.md must have this table:\n\n%s", table)
	}
}

// TestReasonsAreMetrics wants haystream_not_ready for each reason, and the metrics that go with them.
func TestReasonsAreMetrics(t *testing.T) {
	families, err := exposed().Gather()
	if err != nil {
		t.Fatal(err)
	}
	there, holds := map[string]bool{}, map[string]float64{}
	for _, f := range families {
		there[f.GetName()] = true
		if f.GetName() != "haystream_not_ready" {
			continue
		}
		for _, m := range f.GetMetric() {
			holds[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
		}
	}
	for r, said := range reasonTexts {
		if !there["haystream_"+said.metric] {
			t.Errorf("%s: there is no metric haystream_%s", said.name, said.metric)
		}
		want := flag(Reason(r) == SinkDown || Reason(r) == Lag)
		if got, ok := holds[said.name]; !ok || got != want {
			t.Errorf("haystream_not_ready of %s is %v, want %v", said.name, got, want)
		}
	}
}

// reasonTable is what docs/operations.md says of all reasons.
func reasonTable() string {
	var b strings.Builder
	b.WriteString("| `reason` | `/readyz` says | the log says | metric beside it | what to do |\n|---|---|---|---|---|\n")
	for r := range reasonCount {
		t := reasonTexts[r]
		name, log := "`"+t.name+"`", "`"+t.log+"`"
		if t.person {
			name += " ⚠"
		}
		switch {
		case t.silent:
			log = "nothing"
		case t.log == "":
			log = "the same"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | `haystream_%s` | %s |\n", name, t.line, log, t.metric, t.remedy)
	}
	return b.String()
}
