package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"haystream/internal/conf"
)

// widgetWaits is how long a request waits for a search.
const widgetWaits = 15 * time.Second

// listWidgets answers with the widgets that there are.
func (s *Server) listWidgets(w http.ResponseWriter, _ *http.Request) {
	type widget struct {
		Name  string `json:"name"`
		Title string `json:"title"`
		Kind  string `json:"kind"`
		Index string `json:"index"`
		URL   string `json:"url"`
	}
	all := []widget{}
	for _, v := range s.board.List() {
		all = append(all, widget{v.Name, v.Title, v.Kind, v.Index, "/widgets/" + v.Name})
	}
	writeJSON(w, http.StatusOK, map[string]any{"widgets": all})
}

// widget answers with what one shows. It fails only where it has never been known.
func (s *Server) widget(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), widgetWaits)
	defer cancel()
	name := r.PathValue("name")
	v := s.board.View(ctx, name)
	if v == nil {
		var names []string
		for _, v := range s.board.List() {
			names = append(names, v.Name)
		}
		writeJSON(w, http.StatusNotFound, map[string]string{"error": fmt.Sprintf("there is no widget %q%s", name, conf.DidYouMean(name, names))})
		return
	}
	if !v.Known() {
		why := "the search has not been answered yet"
		if v.Err != nil {
			why = v.Err.Error()
		}
		w.Header().Set("Retry-After", "5")
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"name": v.Name, "title": v.Title, "error": why})
		return
	}
	writeJSON(w, http.StatusOK, v)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client went away
}
