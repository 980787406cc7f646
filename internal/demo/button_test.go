package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A press is pushed under one id until the daemon takes it, and the page counts it.
func TestButton(t *testing.T) {
	var ids []string
	daemon := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var event struct{ ID, User, Action string }
		err := json.NewDecoder(r.Body).Decode(&event)
		if err != nil || r.URL.Path != "/events/presses" || r.Header.Get("Authorization") != "Bearer secret" || event.User != "guest" || event.Action != "press_a_button" {
			t.Errorf("%s %v: %+v, %v", r.URL, r.Header, event, err)
		}
		if ids = append(ids, event.ID); len(ids) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer daemon.Close()
	b := newButton(&stage{status: daemon.URL + "/status", token: "secret"})
	page := httptest.NewServer(b)
	defer page.Close()
	response, err := http.Post(page.URL, "application/x-www-form-urlencoded", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(text), "Presses that were taken: 1") || !strings.Contains(string(text), daemon.URL+"/") {
		t.Errorf("the page is %s, %v", text, err)
	}
	if len(ids) != 3 || ids[0] == "" || ids[0] != ids[1] || ids[0] != ids[2] {
		t.Errorf("pushed under the ids %v", ids)
	}
	daemon.Config.Handler = http.NotFoundHandler()
	if err := b.press(t.Context(), "guest"); err == nil || b.presses() != 1 {
		t.Errorf("an event that is not taken: %v, %d", err, b.presses())
	}
}
