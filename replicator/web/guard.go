package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"strings"

	"haystream/replicator/config"
)

// A guard decides which requests are answered.
type guard struct {
	token  [sha256.Size]byte
	has    bool // a token is set
	beyond bool // others than this machine reach the address
	sites  *http.CrossOriginProtection
	next   http.Handler
}

func guarded(cfg config.HTTPConfig, next http.Handler) http.Handler {
	return &guard{
		token: sha256.Sum256([]byte(cfg.Token.Reveal())), has: cfg.Token != "", beyond: cfg.Beyond(),
		sites: http.NewCrossOriginProtection(), next: next,
	}
}

// public are answered to anybody: what load balancers and monitoring ask for.
var public = map[string]bool{"/healthz": true, "/readyz": true, "/metrics": true}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if reads && public[r.URL.Path] {
		g.next.ServeHTTP(w, r)
		return
	}
	known := g.has && g.knows(r)
	if !known && g.has && (g.beyond || !reads) {
		h.Add("WWW-Authenticate", `Basic realm="haystream", charset="UTF-8"`)
		h.Add("WWW-Authenticate", `Bearer realm="haystream"`)
		refuse(w, http.StatusUnauthorized, refusal{Error: "send http.token: as Authorization: Bearer TOKEN, or as the password of basic authentication"})
		return
	}
	// A page elsewhere whose name leads to this machine would otherwise read what is answered here.
	if !known && !g.beyond && !ownName(r.Host) {
		refuse(w, http.StatusForbidden, refusal{Error: fmt.Sprintf("the request is for the host %q, and this daemon answers for this machine only; ask for localhost, or send http.token", r.Host)})
		return
	}
	// A browser sends a password by itself, also for a page of another site.
	if err := g.sites.Check(r); err != nil {
		refuse(w, http.StatusForbidden, refusal{Error: "the request comes from a page of another site: " + err.Error()})
		return
	}
	g.next.ServeHTTP(w, r)
}

// knows reports whether the request has the token, in a time that does not tell how much
// of it is right.
func (g *guard) knows(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if _, password, ok := r.BasicAuth(); ok {
		token = password
	} else if !strings.EqualFold(scheme, "bearer") {
		return false
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1
}

// ownName reports whether a host is an address, which no name server gives out, or this
// machine's own name.
func ownName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(strings.Trim(host, "[]")) != nil
}
