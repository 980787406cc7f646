package elasticsearch

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"haystream/sinks"
)

// A lossy proxy stands before a real server and loses answers, or requests, of
// saves and reads of checkpoints.
type lossy struct {
	*httptest.Server
	proxy *httputil.ReverseProxy

	mu   sync.Mutex
	lose losses
	late func() error // a save that was put off: does it now
}

type losses struct {
	save bool // the save is not passed on
	back bool // the save is passed on, its answer is lost
	read bool // reads are not answered
	time bool // the save is passed on when it is too late
}

func newLossy(t *testing.T, server string) *lossy {
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	l := &lossy{proxy: httputil.NewSingleHostReverseProxy(target)}
	l.proxy.Transport = &http.Transport{DisableKeepAlives: true}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		save := r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/_doc/")
		read := r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/_doc/")
		switch {
		case read && l.lose.read, save && l.lose.save:
			hang(t, w)
		case save && l.lose.back:
			l.proxy.ServeHTTP(httptest.NewRecorder(), r)
			hang(t, w)
		case save && l.lose.time:
			l.putOff(t, server, r)
			w.WriteHeader(http.StatusGatewayTimeout)
		default:
			l.proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *lossy) putOff(t *testing.T, server string, r *http.Request) {
	body, err := readBody(r)
	if err != nil {
		t.Error(err)
	}
	l.late = func() error {
		req, err := http.NewRequest(http.MethodPut, server+r.URL.RequestURI(), bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header = r.Header
		res, err := l.proxy.Transport.RoundTrip(req)
		if err != nil {
			return err
		}
		return res.Body.Close()
	}
}

func (l *lossy) set(lose losses) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose = lose
}

// TestLostSaveIsNoConflict: a save whose answer was lost must not look like
// another daemon's.
func TestLostSaveIsNoConflict(t *testing.T) {
	server := mainServer.Get(t).URL
	for _, c := range []struct {
		name  string
		lose  losses
		saved bool // the save itself finds out that it happened
	}{
		{"answer lost", losses{back: true}, true},
		{"answer lost and nobody to ask", losses{back: true, read: true}, false},
		{"request lost", losses{save: true}, false},
		{"request too late", losses{time: true}, false},
	} {
		for when, first := range map[string]bool{"first save": true, "later save": false} {
			t.Run(c.name+" "+when, func(t *testing.T) { loseSave(t, server, c.lose, c.saved, first) })
		}
	}
}

func loseSave(t *testing.T, server string, lose losses, saved, first bool) {
	l := newLossy(t, server)
	name := "lost-" + strings.ToLower(rand.Text())
	s := newSink(t, testConfig(l.URL, ""), sinks.Options{Owner: name})
	defer s.Close()
	other := newSink(t, testConfig(server, ""), sinks.Options{Owner: name})
	defer other.Close()
	ctx := t.Context()
	save := func(s *Sink, data string, token sinks.Token) sinks.Token {
		t.Helper()
		next, err := s.SaveCheckpoint(ctx, name, []byte(data), token)
		if err != nil {
			t.Fatalf("save %s: %v", data, err)
		}
		return next
	}
	token := save(other, "0", "")
	if first {
		if err := other.RemoveCheckpoint(ctx, name); err != nil {
			t.Fatal(err)
		}
		token = ""
	}
	l.set(lose)
	next, err := s.SaveCheckpoint(ctx, name, []byte("1"), token)
	if errors.Is(err, sinks.ErrConflict) || (err == nil) != saved {
		t.Fatalf("got %v", err)
	}
	if saved {
		token = next
	}
	l.set(losses{})
	if l.late != nil {
		if err := l.late(); err != nil {
			t.Fatal(err)
		}
	}
	token = save(s, "2", token)
	if data, loaded, err := other.LoadCheckpoint(ctx, name); err != nil || string(data) != "2" || loaded != token {
		t.Fatalf("loaded %q, %q, %v, want the last save and %q", data, loaded, err, token)
	}
	l.set(lose)
	_, _ = s.SaveCheckpoint(ctx, name, []byte("3"), token)
	l.set(losses{})
	_, current, err := other.LoadCheckpoint(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	save(other, "theirs", current)
	if _, err := s.SaveCheckpoint(ctx, name, []byte("4"), token); !errors.Is(err, sinks.ErrConflict) {
		t.Errorf("after another daemon's save: %v", err)
	}
	if err := other.RemoveCheckpoint(ctx, name); err != nil {
		t.Fatal(err)
	}
}

// TestDroppedCheckpoint: one that an ingest pipeline drops was not saved.
func TestDroppedCheckpoint(t *testing.T) {
	s := newSink(t, oneLane(scripted(t, map[string]string{
		"PUT /" + sinks.WriteAlias(checkpointsIndex) + "/_doc/blog": `{"_id":"blog","_version":-3,"result":"noop","_shards":{"total":0,"successful":0,"failed":0}}`,
	}).URL), sinks.Options{Owner: "blog"})
	defer s.Close()
	token, err := s.SaveCheckpoint(t.Context(), "blog", []byte("1"), "")
	if token != "" || err == nil || !strings.Contains(err.Error(), "an ingest pipeline drops it; take it out") {
		t.Errorf("got %q, %v", token, err)
	}
}

// TestOnlyTheServerSaysThatThereIsNoCheckpoint: what else answers 404 does not.
func TestOnlyTheServerSaysThatThereIsNoCheckpoint(t *testing.T) {
	for _, body := range []string{"", "<html>not found</html>", `{}`, `{"found":true}`} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(body))
		}))
		s := newSink(t, testConfig(server.URL, ""), sinks.Options{})
		if _, _, err := s.LoadCheckpoint(t.Context(), "blog"); err == nil {
			t.Errorf("%q is taken for an answer", body)
		}
		if _, err := s.Index(t.Context(), "notes"); err == nil {
			t.Errorf("%q is taken for an answer about an index", body)
		}
		s.Close()
		server.Close()
	}
}
