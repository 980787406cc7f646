package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

//go:embed schema.sql
var schema string

// How large the blog is before the load begins.
const (
	seedUsers    = 200
	seedNotes    = 4000
	seedComments = 6000
	extraTags    = 30
	days         = 14 // that notes are spread over
)

// createBlog makes the sample tables and fills them, in one transaction. Tables of an earlier demo are taken as they are; tables of
// anybody else are refused.
func createBlog(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect to database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var exists, ours bool
	err = conn.QueryRow(ctx, `SELECT to_regclass('myapp_note') IS NOT NULL OR to_regclass('auth_user') IS NOT NULL,
		coalesce(obj_description(to_regclass('myapp_note'), 'pg_class') = 'Haystream demo', false)`).Scan(&exists, &ours)
	if err != nil {
		return fmt.Errorf("look for tables: %w", err)
	}
	if ours {
		return nil
	}
	if exists {
		return errors.New("create sample tables: the database has an auth_user or myapp_note of its own; give the demo an empty database")
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, schema); err != nil {
			return fmt.Errorf("create tables: %w", err)
		}
		return fillBlog(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("create sample tables: %w", err)
	}
	// Counts by the planner are what the daemon shows a snapshot's progress by.
	if _, err := conn.Exec(ctx, "ANALYZE"); err != nil {
		return fmt.Errorf("analyze sample tables: %w", err)
	}
	return nil
}

// fillBlog writes the first rows. Identities count from 1, so rows can refer to each other by number.
func fillBlog(ctx context.Context, tx pgx.Tx) error {
	w, now := newWriter(1), time.Now().UTC().Truncate(time.Microsecond)
	past := func() time.Time {
		return now.Add(-time.Duration(w.Int64N(int64(days * 24 * time.Hour)))).Truncate(time.Microsecond)
	}
	tags := tagNames(w)
	fills := []struct {
		table   string
		columns []string
		rows    int
		row     func(i int) []any
	}{
		{
			"auth_user",
			[]string{"password", "is_superuser", "username", "first_name", "last_name", "email", "is_staff", "is_active", "date_joined"},
			seedUsers, func(i int) []any {
				p := w.person(i + 1)
				return []any{unusablePassword, i == 0, p.username, p.first, p.last, p.email, i < 5, w.IntN(20) > 0, past()}
			},
		},
		{"myapp_tag", []string{"name", "slug"}, len(tags), func(i int) []any { return []any{tags[i], slug(tags[i])} }},
		{
			"myapp_note",
			[]string{"title", "slug", "summary", "body", "published", "pub_date", "updated", "views", "rating", "user_id"},
			seedNotes, func(int) []any {
				n := newNote(w)
				at := past()
				return []any{n.title, slug(n.title), n.summary, n.body, w.IntN(5) > 0, at, at, w.IntN(2000), w.rating(), author(w)}
			},
		},
		{"myapp_comment", []string{"body", "created", "note_id", "user_id"}, seedComments, func(int) []any {
			return []any{w.comment(), past(), 1 + w.IntN(seedNotes), author(w)}
		}},
	}
	for _, f := range fills {
		next := 0
		source := pgx.CopyFromFunc(func() ([]any, error) {
			if next == f.rows {
				return nil, nil
			}
			next++
			return f.row(next - 1), nil
		})
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{f.table}, f.columns, source); err != nil {
			return fmt.Errorf("fill %s: %w", f.table, err)
		}
	}
	_, err := tx.Exec(ctx, `INSERT INTO myapp_note_tags (note_id, tag_id)
		SELECT n.id, t.id FROM myapp_note n, myapp_tag t WHERE (n.id * 7 + t.id * 13) % 20 = 0`)
	if err != nil {
		return fmt.Errorf("fill myapp_note_tags: %w", err)
	}
	return nil
}

// unusablePassword is what Django stores for an account without one.
const unusablePassword = "!demo"

// note is the made-up part of a row of myapp_note.
type note struct {
	title   string
	summary *string
	body    string
}

func newNote(w *writer) note {
	about := w.topic()
	n := note{title: w.title(about), body: w.body(about)}
	if w.IntN(3) > 0 {
		text := w.summary(about)
		n.summary = &text
	}
	return n
}

// author is a user's number; some write much more than others.
func author(w *writer) int {
	share := w.Float64()
	return 1 + int(share*share*seedUsers)
}

// tagNames are the topics and what notes are about in them.
func tagNames(w *writer) []string {
	var names []string
	for _, t := range w.topics {
		names = append(names, t.tag)
	}
	for i := range extraTags {
		t := w.topics[i%len(w.topics)]
		names = append(names, capital(t.doings[i/len(w.topics)]))
	}
	return names
}
