package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// blog is one writer's transaction on the blog.
type blog struct {
	tx   pgx.Tx
	w    *writer
	rows int64 // changed so far
}

// exec runs a statement and counts its rows.
func (b *blog) exec(ctx context.Context, sql string, args ...any) error {
	done, err := b.tx.Exec(ctx, sql, args...)
	if err != nil {
		return err
	}
	b.rows += done.RowsAffected()
	return nil
}

// step is something that readers and authors do.
type step func(ctx context.Context, b *blog) error

// chooseStep picks a step; the numbers say how often each is taken.
func chooseStep(w *writer) step {
	steps := []struct {
		often int
		do    step
	}{
		{250, readNote},
		{100, writeNote},
		{120, editNote},
		{80, publishNote},
		{50, rateNote},
		{40, retag},
		{70, deleteNote},
		{180, writeComment},
		{40, editComment},
		{40, deleteComment},
		{10, renumberComment},
		{80, logIn},
		{20, editUser},
		{4, joinUser},
		{2, leaveUser},
		{5, editTag},
		{3, addTag},
		{2, deleteTag},
		{6, publishAuthor},
		{2, countAll},
		{10, regret},
		{5, regretHalf},
	}
	total := 0
	for _, s := range steps {
		total += s.often
	}
	at := w.IntN(total)
	for _, s := range steps {
		if at -= s.often; at < 0 {
			return s.do
		}
	}
	return readNote
}

// Subqueries that pick a row by chance, without reading the table.
const (
	someNote    = `(SELECT id FROM myapp_note WHERE id >= (SELECT (max(id) * random())::bigint FROM myapp_note) ORDER BY id LIMIT 1)`
	someComment = `(SELECT id FROM myapp_comment WHERE id >= (SELECT (max(id) * random())::bigint FROM myapp_comment) ORDER BY id LIMIT 1)`
	someUser    = `(SELECT id FROM auth_user WHERE id >= (SELECT (max(id) * power(random(), 2))::integer FROM auth_user) ORDER BY id LIMIT 1)`
	someTag     = `(SELECT id FROM myapp_tag WHERE id >= (SELECT (max(id) * random())::bigint FROM myapp_tag) ORDER BY id LIMIT 1)`
)

// readNote changes a number beside a text that may be stored outside of the row, and is not logged then.
func readNote(ctx context.Context, b *blog) error {
	return b.exec(ctx, `UPDATE myapp_note SET views = views + 1 WHERE id = `+someNote)
}

func writeNote(ctx context.Context, b *blog) error {
	n := newNote(b.w)
	var id int64
	err := b.tx.QueryRow(ctx, `INSERT INTO myapp_note (title, slug, summary, body, published, pub_date, updated, views, rating, user_id)
		VALUES ($1, $2, $3, $4, $5, now() - $6 * interval '1 second', now(), 0, NULL, `+someUser+`) RETURNING id`,
		n.title, slug(n.title), n.summary, n.body, b.w.IntN(4) > 0, b.w.IntN(days*24*3600)).Scan(&id)
	if err != nil {
		return err
	}
	b.rows++
	return b.exec(ctx, `INSERT INTO myapp_note_tags (note_id, tag_id) SELECT $1, id FROM myapp_tag ORDER BY random() LIMIT $2`, id, b.w.IntN(4))
}

func editNote(ctx context.Context, b *blog) error {
	n := newNote(b.w)
	if b.w.IntN(2) == 0 {
		return b.exec(ctx, `UPDATE myapp_note SET title = $1, slug = $2, summary = $3, updated = now() WHERE id = `+someNote, n.title, slug(n.title), n.summary)
	}
	return b.exec(ctx, `UPDATE myapp_note SET body = $1, updated = now() WHERE id = `+someNote, n.body)
}

// publishNote makes a document appear or disappear, or neither.
func publishNote(ctx context.Context, b *blog) error {
	return b.exec(ctx, `UPDATE myapp_note SET published = random() < 0.8, updated = now() WHERE id = `+someNote)
}

func rateNote(ctx context.Context, b *blog) error {
	return b.exec(ctx, `UPDATE myapp_note SET rating = $1 WHERE id = `+someNote, b.w.rating())
}

func retag(ctx context.Context, b *blog) error {
	if b.w.IntN(2) == 0 {
		return b.exec(ctx, `DELETE FROM myapp_note_tags WHERE note_id = `+someNote)
	}
	return b.exec(ctx, `INSERT INTO myapp_note_tags (note_id, tag_id) SELECT `+someNote+`, `+someTag+` ON CONFLICT DO NOTHING`)
}

// deleteNote deletes what refers to the note first, as Django does.
func deleteNote(ctx context.Context, b *blog) error {
	var id int64
	if err := b.tx.QueryRow(ctx, someNote).Scan(&id); err != nil {
		return err
	}
	return b.execAll(ctx, id, `DELETE FROM myapp_note_tags WHERE note_id = $1`, `DELETE FROM myapp_comment WHERE note_id = $1`, `DELETE FROM myapp_note WHERE id = $1`)
}

func writeComment(ctx context.Context, b *blog) error {
	return b.exec(ctx, `INSERT INTO myapp_comment (body, created, note_id, user_id) SELECT $1, now(), `+someNote+`, `+someUser, b.w.comment())
}

func editComment(ctx context.Context, b *blog) error {
	return b.exec(ctx, `UPDATE myapp_comment SET body = $1 WHERE id = `+someComment, b.w.comment())
}

func deleteComment(ctx context.Context, b *blog) error {
	return b.exec(ctx, `DELETE FROM myapp_comment WHERE id = `+someComment)
}

// renumberComment changes a primary key. Django never does; people at a database prompt do.
func renumberComment(ctx context.Context, b *blog) error {
	return b.exec(ctx, `UPDATE myapp_comment SET id = nextval(pg_get_serial_sequence('myapp_comment', 'id')) WHERE id = `+someComment)
}

func logIn(ctx context.Context, b *blog) error {
	return b.exec(ctx, `UPDATE auth_user SET last_login = now() WHERE id = `+someUser)
}

func joinUser(ctx context.Context, b *blog) error {
	p := b.w.person(1000 + b.w.IntN(1_000_000))
	return b.exec(ctx, `INSERT INTO auth_user (password, is_superuser, username, first_name, last_name, email, is_staff, is_active, date_joined)
		VALUES ($1, false, $2, $3, $4, $5, false, true, now())`, unusablePassword, p.username, p.first, p.last, p.email)
}

func editUser(ctx context.Context, b *blog) error {
	p := b.w.person(0)
	return b.exec(ctx, `UPDATE auth_user SET last_name = $1, email = $2, is_active = random() < 0.9 WHERE id = `+someUser, p.last, p.email)
}

// leaveUser deletes a user with everything that the user wrote.
func leaveUser(ctx context.Context, b *blog) error {
	var id int64
	if err := b.tx.QueryRow(ctx, `SELECT id FROM auth_user WHERE id > 50 ORDER BY random() LIMIT 1`).Scan(&id); err != nil {
		return err
	}
	return b.execAll(ctx, id,
		`DELETE FROM myapp_comment WHERE user_id = $1 OR note_id IN (SELECT id FROM myapp_note WHERE user_id = $1)`,
		`DELETE FROM myapp_note_tags WHERE note_id IN (SELECT id FROM myapp_note WHERE user_id = $1)`,
		`DELETE FROM myapp_note WHERE user_id = $1`,
		`DELETE FROM auth_user WHERE id = $1`)
}

func addTag(ctx context.Context, b *blog) error {
	name := fmt.Sprintf("%s %d", pick(b.w, b.w.topic().doings), b.w.IntN(10_000))
	return b.exec(ctx, `INSERT INTO myapp_tag (name, slug) VALUES ($1, $2)`, capital(name), slug(name)+fmt.Sprint(b.w.IntN(1_000_000)))
}

func editTag(ctx context.Context, b *blog) error {
	return b.exec(ctx, `UPDATE myapp_tag SET name = $1 WHERE id = `+someTag, capital(pick(b.w, b.w.topic().doings)))
}

func deleteTag(ctx context.Context, b *blog) error {
	var id int64
	if err := b.tx.QueryRow(ctx, `SELECT id FROM myapp_tag ORDER BY random() LIMIT 1`).Scan(&id); err != nil {
		return err
	}
	return b.execAll(ctx, id, `DELETE FROM myapp_note_tags WHERE tag_id = $1`, `DELETE FROM myapp_tag WHERE id = $1`)
}

// publishAuthor publishes and withdraws notes of one user, with one statement.
func publishAuthor(ctx context.Context, b *blog) error {
	return b.exec(ctx, `UPDATE myapp_note SET published = random() < 0.8 WHERE user_id = `+someUser)
}

// countAll is the big transaction: half of all notes.
func countAll(ctx context.Context, b *blog) error {
	return b.exec(ctx, `UPDATE myapp_note SET views = views + 1 WHERE id % 2 = $1`, b.w.IntN(2))
}

// regret changes much and takes it all back.
func regret(ctx context.Context, b *blog) error {
	if err := b.exec(ctx, `UPDATE myapp_note SET title = 'never seen', published = true WHERE user_id = `+someUser); err != nil {
		return err
	}
	if err := writeNote(ctx, b); err != nil {
		return err
	}
	return errRegret
}

// regretHalf takes a part back, to a savepoint, and commits the rest, as nested atomic blocks do.
func regretHalf(ctx context.Context, b *blog) error {
	if err := writeComment(ctx, b); err != nil {
		return err
	}
	kept := b.rows
	err := pgx.BeginFunc(ctx, b.tx, func(inner pgx.Tx) error { return regret(ctx, &blog{tx: inner, w: b.w}) })
	if err != nil && !errors.Is(err, errRegret) {
		return err
	}
	b.rows = kept
	return logIn(ctx, b)
}

// execAll runs the statements with the same argument.
func (b *blog) execAll(ctx context.Context, id int64, statements ...string) error {
	for _, sql := range statements {
		if err := b.exec(ctx, sql, id); err != nil {
			return err
		}
	}
	return nil
}
