package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"haystream/internal/servers"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(os.Exit))
}

// TestBlog fills and changes a database, indexes it by hand, and expects that the comparison finds no difference, then each that is made.
func TestBlog(t *testing.T) {
	ctx := t.Context()
	database := servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: "15"})
	elastic := servers.Test(t, servers.Spec{Kind: servers.Elasticsearch, Version: "8.19"})
	on := &stage{postgres: database.URL, elastic: elastic.URL}
	for range 2 { // the second finds the tables of the first
		if err := createBlog(ctx, on.postgres); err != nil {
			t.Fatal(err)
		}
	}
	l := changeBlog(t, on.postgres)
	s := newSearch(on.elastic)
	t.Cleanup(s.client.CloseIdleConnections)
	indexByHand(t, on.postgres, s)

	for _, r := range compareBlog(t, on, s) {
		if !r.equal() || r.documents == 0 {
			t.Errorf("fresh copy: %s", r)
		}
	}
	person, tag := firstID(t, on.postgres, "auth_user"), firstID(t, on.postgres, "myapp_tag") // the load deletes some
	var answer struct{}
	for _, made := range []struct{ method, path, body string }{
		{http.MethodDelete, "/people/_doc/" + person, ""},
		{http.MethodPut, "/tags/_doc/-1", `{"name": "nobody's", "slug": "nobodys"}`},
		{http.MethodPut, "/tags/_doc/" + tag, `{"name": "changed", "slug": "gardening"}`},
	} {
		if err := s.call(ctx, made.method, made.path, []byte(made.body), &answer); err != nil {
			t.Fatal(err)
		}
	}
	var found []string
	for _, r := range compareBlog(t, on, s) {
		found = append(found, r.missing...)
		found = append(found, r.extra...)
		found = append(found, r.different...)
	}
	if got := strings.Join(found, "|"); !strings.HasPrefix(got, person+`|-1|`+tag+`: name: row has `) || len(found) != 3 {
		t.Errorf("found %q", found)
	}

	sampler := newSampler(on, l)
	defer sampler.close(ctx)
	now := sampler.take(ctx)
	if len(now.problems) > 0 || len(now.days) < days-1 || len(now.authors) != mostAuthors || now.found.total == 0 {
		t.Errorf("sample = %+v", now)
	}
}

func TestOtherTablesAreRefused(t *testing.T) {
	ctx := t.Context()
	database := servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: "15"})
	conn, err := pgx.Connect(ctx, database.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "CREATE TABLE auth_user (id integer PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	if err := createBlog(ctx, database.URL); err == nil || !strings.Contains(err.Error(), "empty database") {
		t.Errorf("error = %v", err)
	}
}

// changeBlog runs every step some times.
func changeBlog(t *testing.T, url string) *load {
	t.Helper()
	l := newLoad(url, 2000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.run(ctx) }()
	err := poll(t.Context(), func() (bool, error) {
		select {
		case err := <-done:
			return true, err
		default:
			return l.writes.Load() > 20_000, nil
		}
	})
	cancel()
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return l
}

func compareBlog(t *testing.T, on *stage, s *search) []result {
	t.Helper()
	results, err := compareAll(t.Context(), on.postgres, s)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func firstID(t *testing.T, url, table string) (id string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if err := conn.QueryRow(t.Context(), "SELECT min(id)::text FROM "+table).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

// indexByHand writes what the daemon should.
func indexByHand(t *testing.T, url string, s *search) {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, sql := range []string{"SET TIME ZONE 'UTC'", utc} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, tr := range truths() {
		docs, err := tr.rows(ctx, conn)
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		lines := json.NewEncoder(&body)
		for id, doc := range docs {
			if err := lines.Encode(object{"index": object{"_id": id}}); err != nil {
				t.Fatal(err)
			}
			if err := lines.Encode(doc); err != nil {
				t.Fatal(err)
			}
		}
		var answer struct{ Errors bool }
		if err := s.call(ctx, http.MethodPost, "/"+tr.index+"/_bulk", body.Bytes(), &answer); err != nil || answer.Errors {
			t.Fatalf("index %s: %v", tr.index, err)
		}
	}
}
