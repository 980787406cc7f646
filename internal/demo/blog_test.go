package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"haystream/internal/servers"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(os.Exit))
}

// kinds are the databases that the demo plays on.
func kinds() []servers.Spec {
	return []servers.Spec{
		{Kind: servers.Postgres, Version: "15"},
		{Kind: servers.MySQL, Version: "8.0"},
		{Kind: servers.MariaDB, Version: "11.8"},
	}
}

// newDatabase is an own server's, without the sample tables.
func newDatabase(t *testing.T, spec servers.Spec) *database {
	t.Helper()
	own, _, err := furnish(t.Context(), servers.Test(t, spec).URL)
	if err != nil {
		t.Fatal(err)
	}
	db, err := openDatabase(own)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestBlog fills and changes a database, indexes it by hand, makes three differences, and expects that the comparison finds them and no other.
func TestBlog(t *testing.T) {
	elastic := servers.Test(t, servers.Spec{Kind: servers.Elasticsearch, Version: "8.19"})
	for _, spec := range kinds() {
		t.Run(spec.Kind, func(t *testing.T) { testBlog(t, &stage{db: newDatabase(t, spec), elastic: elastic.URL}) })
	}
}

func testBlog(t *testing.T, on *stage) {
	ctx := t.Context()
	for range 2 { // the second finds the tables of the first
		if err := createBlog(ctx, on.db); err != nil {
			t.Fatal(err)
		}
	}
	l := changeBlog(t, on.db)
	s := newSearch(on.elastic)
	t.Cleanup(s.client.CloseIdleConnections)
	for _, tr := range truths() { // of the database before
		if err := s.call(ctx, http.MethodDelete, "/"+tr.index, nil, &struct{}{}); err != nil && !errors.Is(err, errNoIndex) {
			t.Fatal(err)
		}
	}
	indexByHand(t, on.db, s)

	person, tag := firstID(t, on.db, "auth_user"), firstID(t, on.db, "myapp_tag") // the load deletes some
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
		if r.documents == 0 {
			t.Errorf("nothing was compared: %s", r)
		}
		found = append(found, r.missing...)
		found = append(found, r.extra...)
		found = append(found, r.different...)
	}
	if got := strings.Join(found, "|"); !strings.HasPrefix(got, person+`|-1|`+tag+`: name: row has `) || len(found) != 3 {
		t.Errorf("found %q", found)
	}

	now := newSampler(on, l).take(ctx)
	if len(now.problems) > 0 || len(now.days) < days-1 || len(now.authors) != mostAuthors || now.found.total == 0 {
		t.Errorf("sample = %+v", now)
	}
}

func TestOtherTablesAreRefused(t *testing.T) {
	for _, spec := range kinds() {
		t.Run(spec.Kind, func(t *testing.T) {
			db := newDatabase(t, spec)
			if _, err := db.ExecContext(t.Context(), "CREATE TABLE auth_user (id integer PRIMARY KEY)"); err != nil {
				t.Fatal(err)
			}
			if err := createBlog(t.Context(), db); err == nil || !strings.Contains(err.Error(), "empty database") {
				t.Errorf("error = %v", err)
			}
		})
	}
}

// changeBlog runs every step some times.
func changeBlog(t *testing.T, db *database) *load {
	t.Helper()
	l := newLoad(db, 2000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.run(ctx) }()
	err := poll(t.Context(), func() (bool, error) {
		select {
		case err := <-done:
			return true, err
		default:
			return l.writes.Load() > 5_000, nil
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
	results, err := compareAll(t.Context(), on.db, s)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func firstID(t *testing.T, db *database, table string) (id string) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT min(id) FROM "+table).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

// indexByHand writes what the daemon should.
func indexByHand(t *testing.T, db *database, s *search) {
	t.Helper()
	ctx := t.Context()
	for _, tr := range truths() {
		docs, err := tr.rows(ctx, db)
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		for id, doc := range docs {
			fmt.Fprintf(&body, "{\"index\": {\"_id\": %q}}\n%s\n", id, doc)
		}
		var answer struct{ Errors bool }
		if err := s.call(ctx, http.MethodPost, "/"+tr.index+"/_bulk", body.Bytes(), &answer); err != nil || answer.Errors {
			t.Fatalf("index %s: %v", tr.index, err)
		}
	}
}
