package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// How large the blog is before the load begins.
const (
	seedUsers    = 200
	seedNotes    = 4000
	seedComments = 6000
	extraTags    = 30
	days         = 14 // that notes are spread over

	fillRows = 100 // that one statement inserts
)

// createBlog makes the sample tables and fills them. Tables of an earlier demo are taken as they are; tables of anybody else are refused.
func createBlog(ctx context.Context, db *database) error {
	var exists, ours bool
	if err := db.QueryRowContext(ctx, db.found).Scan(&exists, &ours); err != nil {
		return fmt.Errorf("look for tables: %w", err)
	}
	if ours {
		return nil
	}
	if exists {
		return errors.New("create sample tables: the database has an auth_user or myapp_note of its own; give the demo an empty database")
	}
	err := db.transact(ctx, func(tx *sql.Tx) error {
		for statement := range strings.SplitSeq(strings.TrimSpace(db.schema), ";\n") {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("create tables: %w", err)
			}
		}
		return fillBlog(ctx, &blog{db: db, tx: tx, w: newWriter(1)})
	})
	if err != nil {
		return fmt.Errorf("create sample tables: %w", err)
	}
	for _, statement := range db.finish {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("finish sample tables: %w", err)
		}
	}
	return nil
}

// fillBlog writes the first rows. Identities count from 1, so rows can refer to each other by number.
func fillBlog(ctx context.Context, b *blog) error {
	w := b.w
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
				return []any{unusablePassword, i == 0, p.username, p.first, p.last, p.email, i < 5, w.IntN(20) > 0, b.past()}
			},
		},
		{"myapp_tag", []string{"name", "slug"}, len(tags), func(i int) []any { return []any{tags[i], slug(tags[i])} }},
		{
			"myapp_note",
			[]string{"title", "slug", "summary", "body", "published", "pub_date", "updated", "views", "rating", "user_id"},
			seedNotes, func(int) []any {
				n := newNote(w)
				at := b.past()
				return []any{n.title, slug(n.title), n.summary, n.body, w.IntN(5) > 0, at, at, w.IntN(2000), w.rating(), author(w)}
			},
		},
		{"myapp_comment", []string{"body", "created", "note_id", "user_id"}, seedComments, func(int) []any {
			return []any{w.comment(), b.past(), 1 + w.IntN(seedNotes), author(w)}
		}},
	}
	for _, f := range fills {
		one := "(" + strings.Repeat(", ?", len(f.columns))[2:] + ")"
		for next := 0; next < f.rows; next += fillRows {
			rows := min(f.rows-next, fillRows)
			var values []any
			for i := range rows {
				values = append(values, f.row(next+i)...)
			}
			insert := "INSERT INTO " + f.table + " (" + strings.Join(f.columns, ", ") + ") VALUES " + strings.Repeat(", "+one, rows)[2:]
			if err := b.exec(ctx, insert, values...); err != nil {
				return fmt.Errorf("fill %s: %w", f.table, err)
			}
		}
	}
	err := b.exec(ctx, `INSERT INTO myapp_note_tags (note_id, tag_id)
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
