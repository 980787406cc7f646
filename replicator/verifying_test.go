package replicator

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"haystream/internal/conf"
	"haystream/mapping"
	"haystream/replicator/config"
	"haystream/replicator/verify"
	"haystream/sinks"
)

// A showing sink shows documents, and is not asked for any.
type showing struct {
	sinks.Sink
	sinks.Viewer
}

// TestVerifyRegularly: all indexes are verified at the time of day, in the time zone, unless they are being verified
// still, or nothing is delivered.
func TestVerifyRegularly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config.New()
		cfg.TimeZone = "Europe/Berlin"
		cfg.Verify = config.VerifyConfig{Every: conf.Duration(12 * time.Hour), At: "03:00"}
		cfg.Indexes = map[string]*mapping.Definition{"notes": {}, "people": {Index: "persons"}}
		d := &daemon{now: time.Now, cfg: cfg, sink: showing{}, log: zerolog.Nop(), verifier: newVerifier(filepath.Join(t.TempDir(), "verify.json"), zerolog.Nop()), status: newStatus(cfg, "", nil)}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = d.verifyRegularly(ctx) }()
		until := func(at string) { // a time of the first day, 2000-01-01, in UTC
			when, err := time.Parse(time.DateTime, at)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Until(when))
			synctest.Wait()
		}
		asked := func(want ...string) {
			t.Helper()
			var got []string
			d.verifier.mu.Lock()
			defer d.verifier.mu.Unlock()
			for _, l := range d.verifier.queue {
				got = append(got, l.Report().Index)
			}
			if !slices.Equal(got, want) {
				t.Errorf("at %s: %q are to be verified, want %q", time.Now().UTC(), got, want)
			}
		}
		until("2000-01-01 02:00:01")
		asked() // it does not run
		d.status.mu.Lock()
		d.status.state = "running"
		d.status.mu.Unlock()
		until("2000-01-01 13:59:59")
		asked()
		until("2000-01-01 14:00:01")
		asked("notes", "persons")
		d.verifier.over(d.verifier.next(ctx), nil)
		until("2000-01-02 02:00:01")
		asked("persons") // it is under way still
		d.verifier.over(d.verifier.next(ctx), nil)
		asked()
		until("2000-01-02 14:00:01")
		asked("notes", "persons")
	})
}

// TestVerifierKeeps: what was asked, found and reached is known to the next process, and a file that is none is passed over.
func TestVerifierKeeps(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state", "verify.json")
	v := newVerifier(file, zerolog.Nop())
	if err := v.ask([]string{"a", "b", "c"}, verify.Options{Repair: true, Sample: 5}); err != nil {
		t.Fatal(err)
	}
	if v.ask([]string{"d"}, verify.Options{}) == nil {
		t.Error("another one is taken while one is under way")
	}
	a := v.next(t.Context())
	a.Found(verify.Difference{Kind: verify.Extra, ID: "1"})
	v.over(a, nil)
	b := v.next(t.Context())
	b.Compared("", 7)
	b.Reach("documents", []string{"x", "y"})
	b.Compared("", 1) // after the place
	v.keep()

	v = newVerifier(file, zerolog.Nop())
	if r := v.of("a"); r.State != verify.Done || r.Documents.Extra != 1 || r.Sample != 5 {
		t.Errorf("a: %+v", r)
	}
	b = v.next(t.Context())
	if p := b.Place(); p == nil || p.Part != "documents" || !slices.Equal(p.After, []string{"x", "y"}) {
		t.Fatalf("the place in b is %+v", p)
	}
	b.GoOn()
	if r := b.Report(); r.Index != "b" || !r.Repair || r.Documents.Compared != 7 {
		t.Errorf("b goes on at %+v", r)
	}
	v.over(b, nil)
	if c := v.next(t.Context()); c.Report().Index != "c" || c.Place() != nil || b.Place() != nil {
		t.Errorf("then comes %+v", c.Report())
	}

	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if v = newVerifier(file, zerolog.Nop()); v.of("a") != nil || len(v.queue) > 0 {
		t.Error("something is known of a damaged file")
	}
}
