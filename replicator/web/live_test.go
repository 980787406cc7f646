package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"haystream/mapping"
	"haystream/replicator/config"
	"haystream/replicator/widgets"
)

// nextMessage reads one of the server-sent events of a response.
func nextMessage(t *testing.T, lines *bufio.Scanner) map[string]string {
	t.Helper()
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			message := map[string]string{}
			if err := json.Unmarshal([]byte(text), &message); err != nil {
				t.Fatal(err)
			}
			return message
		}
	}
	t.Fatal("there are no more messages:", lines.Err())
	return nil
}

func get(t *testing.T, url string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// TestLiveTellsWhatHasChanged: all at first, then only that; and Serve ends while pages are live.
func TestLiveTellsWhatHasChanged(t *testing.T) {
	daemon := running()
	board, err := widgets.NewBoard(nil, nil, mapping.Set{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer board.Close()
	server, err := Listen(t.Context(), config.HTTPConfig{Listen: "127.0.0.1:0"}, daemon, nil, board, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- server.Serve(ctx) }()
	response := get(t, "http://"+server.listener.Addr().String()+"/live")
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	if got := slices.Sorted(maps.Keys(nextMessage(t, lines))); !slices.Equal(got, slices.Sorted(slices.Values(parts))) {
		t.Errorf("the first message has %v", got)
	}
	daemon.set(func(st *Status) { st.State, st.Reason = "waiting", "away" })
	for { // history and clock go on
		message := nextMessage(t, lines)
		if _, ok := message["indexes"]; ok {
			t.Error("what has not changed is told again")
		}
		if message["state"] == `<span class="mark watch">Waiting</span>` {
			break
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestLivePagesAreBounded: one more is told to come later, and has a place when another has gone.
func TestLivePagesAreBounded(t *testing.T) {
	s := &scene{daemon: running(), search: &searcher{}}
	server, url := s.open(t, config.HTTPConfig{})
	for range mostLive {
		server.lives <- struct{}{}
	}
	if r := get(t, url+"/live"); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
		t.Errorf("got %s", r.Status)
	}
	<-server.lives
	if r := get(t, url+"/live"); r.StatusCode != http.StatusOK {
		t.Errorf("got %s", r.Status)
	}
}

// TestWidgetsAsJSON: django-dashing's members, and what is answered where there is nothing to show.
func TestWidgetsAsJSON(t *testing.T) {
	s := &scene{widgets: shown, daemon: running(), search: &searcher{points: 2}}
	_, url := s.open(t, config.HTTPConfig{})
	body := func(path string, status int) string {
		r := get(t, url+path)
		text, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != status {
			t.Fatalf("%s: %s %v", path, r.Status, err)
		}
		return string(text)
	}
	for path, want := range map[string][]string{
		"/widgets":         {`{"widgets":[{"name":"presses","title":"Button presses","kind":"number","index":"notes","url":"/widgets/presses"},`},
		"/widgets/presses": {`"value":12875`, `"before":11402`, `"changeRate":"+12.9%"`, `"detail":"+12.9% against 1d before"`, `"moreInfo":""`, `"title":"Button presses"`, `"updatedAt":"20`},
		"/widgets/revenue": {`"value":123456789.05`, `"detail":""`, `"changeRate":""`},
		"/widgets/authors": {`"data":[{"label":"Ada Lovelace","value":1042},`},
		"/widgets/hourly":  {`"data":[{"x":1772323200,"y":40},{"x":1772326800,"y":54}]`, `"value":2214`, `"properties":{`},
	} {
		got := body(path, http.StatusOK)
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("%s: %s lacks %s", path, got, part)
			}
		}
	}
	if got := body("/widgets/pressse", http.StatusNotFound); !strings.Contains(got, `did you mean \"presses\"?`) {
		t.Error(got)
	}
	s = &scene{widgets: shown, daemon: running(), search: &searcher{err: errors.New("nothing listens there")}}
	_, url = s.open(t, config.HTTPConfig{})
	if got := body("/widgets/presses", http.StatusServiceUnavailable); !strings.Contains(got, `"error":"nothing listens there"`) {
		t.Error(got)
	}
}
