package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"haystream/replicator/config"
)

// TestGuard: who is answered what.
func TestGuard(t *testing.T) {
	local, both, beyond := config.HTTPConfig{Listen: "127.0.0.1:9600"}, config.HTTPConfig{Listen: "localhost:9600", Token: "swordfish"}, config.HTTPConfig{Listen: "0.0.0.0:9600", Token: "swordfish"}
	bearer := "Authorization: Bearer swordfish"
	basic := "Authorization: Basic YW55Ym9keTpzd29yZGZpc2g="
	for name, c := range map[string]struct {
		cfg     config.HTTPConfig
		request string // method, host and path
		header  string
		want    int
	}{
		"page":                             {local, "GET 127.0.0.1:9600 /", "", 200},
		"page by name":                     {local, "GET localhost:9600 /", "", 200},
		"page by IPv6":                     {local, "GET [::1]:9600 /", "", 200},
		"page by another name":             {local, "GET evil.example:9600 /status", "", 403},
		"health by another name":           {local, "GET evil.example:9600 /healthz", "", 200},
		"change":                           {local, "POST 127.0.0.1:9600 /pause", "", 200},
		"change from another site":         {local, "POST 127.0.0.1:9600 /pause", "Sec-Fetch-Site: cross-site", 403},
		"change from another origin":       {local, "POST 127.0.0.1:9600 /pause", "Origin: http://evil.example", 403},
		"change from the page":             {local, "POST 127.0.0.1:9600 /pause", "Origin: http://127.0.0.1:9600", 200},
		"token, look":                      {both, "GET 127.0.0.1:9600 /", "", 200},
		"token, change without":            {both, "POST 127.0.0.1:9600 /pause", "", 401},
		"token, change with":               {both, "POST 127.0.0.1:9600 /pause", bearer, 200},
		"token, another name with":         {both, "GET proxy.example /", bearer, 200},
		"beyond, look without":             {beyond, "GET 10.0.0.1:9600 /", "", 401},
		"beyond, widget without":           {beyond, "GET 10.0.0.1:9600 /widgets/x", "", 401},
		"beyond, live without":             {beyond, "GET 10.0.0.1:9600 /live", "", 401},
		"beyond, bearer":                   {beyond, "GET haystream.example /", bearer, 200},
		"beyond, basic":                    {beyond, "GET haystream.example /", basic, 200},
		"beyond, small letters":            {beyond, "GET haystream.example /", "Authorization: bearer swordfish", 200},
		"beyond, wrong":                    {beyond, "GET haystream.example /", "Authorization: Bearer swordfis", 401},
		"beyond, empty":                    {beyond, "GET haystream.example /", "Authorization: Bearer ", 401},
		"beyond, another scheme":           {beyond, "GET haystream.example /", "Authorization: Token swordfish", 401},
		"beyond, ready":                    {beyond, "GET haystream.example /readyz", "", 200},
		"beyond, metrics":                  {beyond, "GET haystream.example /metrics", "", 200},
		"beyond, head of health":           {beyond, "HEAD haystream.example /healthz", "", 200},
		"beyond, a path like it":           {beyond, "GET haystream.example /healthz/", "", 401},
		"beyond, change of health":         {beyond, "POST haystream.example /healthz", "", 401},
		"beyond, another site with basic":  {beyond, "POST haystream.example /pause", basic + "\nSec-Fetch-Site: cross-site", 403},
		"beyond, another program by basic": {beyond, "POST haystream.example /pause", basic, 200},
	} {
		method, rest, _ := strings.Cut(c.request, " ")
		host, path, _ := strings.Cut(rest, " ")
		r := httptest.NewRequest(method, path, nil)
		r.Host = host
		for line := range strings.Lines(c.header) {
			key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			r.Header.Set(key, value)
		}
		w := httptest.NewRecorder()
		guarded(c.cfg, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s: got %d, want %d", name, w.Code, c.want)
		}
		if asked := len(w.Header().Values("WWW-Authenticate")); (asked > 0) != (c.want == 401) {
			t.Errorf("%s: it asks for the token %d times", name, asked)
		}
		if strings.Contains(w.Body.String(), "swordfish") {
			t.Errorf("%s: the token shows", name)
		}
	}
}
