package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"
)

// blog is one writer's transaction on the blog.
type blog struct {
	db   *database
	tx   *sql.Tx
	w    *writer
	rows int64 // changed so far
}

// exec runs a statement and counts its rows.
func (b *blog) exec(ctx context.Context, statement string, args ...any) error {
	done, err := b.tx.ExecContext(ctx, b.db.sql(statement), args...)
	if err != nil {
		return err
	}
	rows, err := done.RowsAffected()
	b.rows += rows
	return err
}

// some is the id of a row of the table, without reading all of it; 0 where there is none. The larger the share, from 0 to 1, the newer.
func (b *blog) some(ctx context.Context, table string, share float64) (id int64, err error) {
	var last int64
	if err := b.tx.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM "+table).Scan(&last); err != nil {
		return 0, err
	}
	err = b.tx.QueryRowContext(ctx, b.db.sql("SELECT coalesce(min(id), 0) FROM "+table+" WHERE id >= ?"), int64(math.Ceil(share*float64(last)))).Scan(&id)
	return id, err
}

func (b *blog) someNote(ctx context.Context) (int64, error) {
	return b.some(ctx, "myapp_note", b.w.Float64())
}

func (b *blog) someComment(ctx context.Context) (int64, error) {
	return b.some(ctx, "myapp_comment", b.w.Float64())
}

func (b *blog) someTag(ctx context.Context) (int64, error) {
	return b.some(ctx, "myapp_tag", b.w.Float64())
}

// someUser prefers those who write much.
func (b *blog) someUser(ctx context.Context) (int64, error) {
	share := b.w.Float64()
	return b.some(ctx, "auth_user", share*share)
}

// change runs a statement whose last argument is the id of a row.
func (b *blog) change(ctx context.Context, row func(context.Context) (int64, error), statement string, args ...any) error {
	id, err := row(ctx)
	if err != nil {
		return err
	}
	return b.exec(ctx, statement, append(args, id)...)
}

// now is the time as a database takes it.
func (b *blog) now() string { return time.Now().UTC().Format(timeLayout) }

// past is a time of the last days.
func (b *blog) past() string {
	return time.Now().UTC().Add(-time.Duration(b.w.Int64N(int64(days * 24 * time.Hour)))).Format(timeLayout)
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

// readNote changes a number beside a text that PostgreSQL may store outside of the row, and does not log then.
func readNote(ctx context.Context, b *blog) error {
	return b.change(ctx, b.someNote, `UPDATE myapp_note SET views = views + 1 WHERE id = ?`)
}

func writeNote(ctx context.Context, b *blog) error {
	user, err := b.someUser(ctx)
	if err != nil {
		return err
	}
	n := newNote(b.w)
	err = b.exec(ctx, `INSERT INTO myapp_note (title, slug, summary, body, published, pub_date, updated, views, rating, user_id)
		VALUES (?, ?, ?, ?, ?, ?, ?, 0, NULL, ?)`, n.title, slug(n.title), n.summary, n.body, b.w.IntN(4) > 0, b.past(), b.now(), user)
	if err != nil {
		return err
	}
	var id int64
	if err := b.tx.QueryRowContext(ctx, b.db.sql(`SELECT max(id) FROM myapp_note WHERE user_id = ?`), user).Scan(&id); err != nil {
		return err
	}
	return b.exec(ctx, `INSERT INTO myapp_note_tags (note_id, tag_id) SELECT ?, id FROM myapp_tag WHERE (id + ?) % 16 = 0`, id, b.w.IntN(16))
}

func editNote(ctx context.Context, b *blog) error {
	n := newNote(b.w)
	if b.w.IntN(2) == 0 {
		return b.change(ctx, b.someNote, `UPDATE myapp_note SET title = ?, slug = ?, summary = ?, updated = ? WHERE id = ?`, n.title, slug(n.title), n.summary, b.now())
	}
	return b.change(ctx, b.someNote, `UPDATE myapp_note SET body = ?, updated = ? WHERE id = ?`, n.body, b.now())
}

// publishNote makes a document appear or disappear, or neither.
func publishNote(ctx context.Context, b *blog) error {
	return b.change(ctx, b.someNote, `UPDATE myapp_note SET published = ?, updated = ? WHERE id = ?`, b.w.IntN(5) > 0, b.now())
}

func rateNote(ctx context.Context, b *blog) error {
	return b.change(ctx, b.someNote, `UPDATE myapp_note SET rating = ? WHERE id = ?`, b.w.rating())
}

// retag adds a tag, or takes all away. A tag that is there already is a collision.
func retag(ctx context.Context, b *blog) error {
	if b.w.IntN(2) == 0 {
		return b.change(ctx, b.someNote, `DELETE FROM myapp_note_tags WHERE note_id = ?`)
	}
	note, err := b.someNote(ctx)
	if err != nil {
		return err
	}
	return b.change(ctx, b.someTag, `INSERT INTO myapp_note_tags (note_id, tag_id) VALUES (?, ?)`, note)
}

// deleteNote deletes what refers to the note first, as Django does.
func deleteNote(ctx context.Context, b *blog) error {
	id, err := b.someNote(ctx)
	if err != nil {
		return err
	}
	return b.execAll(ctx, id, `DELETE FROM myapp_note_tags WHERE note_id = ?`, `DELETE FROM myapp_comment WHERE note_id = ?`, `DELETE FROM myapp_note WHERE id = ?`)
}

func writeComment(ctx context.Context, b *blog) error {
	note, err := b.someNote(ctx)
	if err != nil {
		return err
	}
	return b.change(ctx, b.someUser, `INSERT INTO myapp_comment (body, created, note_id, user_id) VALUES (?, ?, ?, ?)`, b.w.comment(), b.now(), note)
}

func editComment(ctx context.Context, b *blog) error {
	return b.change(ctx, b.someComment, `UPDATE myapp_comment SET body = ? WHERE id = ?`, b.w.comment())
}

func deleteComment(ctx context.Context, b *blog) error {
	return b.change(ctx, b.someComment, `DELETE FROM myapp_comment WHERE id = ?`)
}

// renumberComment changes a primary key, to one that nobody has. Django never does; people at a database prompt do.
func renumberComment(ctx context.Context, b *blog) error {
	return b.change(ctx, b.someComment, `UPDATE myapp_comment SET id = -id WHERE id = ?`)
}

func logIn(ctx context.Context, b *blog) error {
	return b.change(ctx, b.someUser, `UPDATE auth_user SET last_login = ? WHERE id = ?`, b.now())
}

func joinUser(ctx context.Context, b *blog) error {
	p := b.w.person(1000 + b.w.IntN(1_000_000))
	return b.exec(ctx, `INSERT INTO auth_user (password, is_superuser, username, first_name, last_name, email, is_staff, is_active, date_joined)
		VALUES (?, false, ?, ?, ?, ?, false, true, ?)`, unusablePassword, p.username, p.first, p.last, p.email, b.now())
}

func editUser(ctx context.Context, b *blog) error {
	p := b.w.person(0)
	return b.change(ctx, b.someUser, `UPDATE auth_user SET last_name = ?, email = ?, is_active = ? WHERE id = ?`, p.last, p.email, b.w.IntN(10) > 0)
}

// leaveUser deletes a user with everything that the user wrote. The first ones, who write most, stay.
func leaveUser(ctx context.Context, b *blog) error {
	id, err := b.some(ctx, "auth_user", b.w.Float64())
	if err != nil || id <= 50 {
		return err
	}
	return b.execAll(ctx, id,
		`DELETE FROM myapp_comment WHERE user_id = ?`,
		`DELETE FROM myapp_comment WHERE note_id IN (SELECT id FROM myapp_note WHERE user_id = ?)`,
		`DELETE FROM myapp_note_tags WHERE note_id IN (SELECT id FROM myapp_note WHERE user_id = ?)`,
		`DELETE FROM myapp_note WHERE user_id = ?`,
		`DELETE FROM auth_user WHERE id = ?`)
}

func addTag(ctx context.Context, b *blog) error {
	name := fmt.Sprintf("%s %d", pick(b.w, b.w.topic().doings), b.w.IntN(10_000))
	return b.exec(ctx, `INSERT INTO myapp_tag (name, slug) VALUES (?, ?)`, capital(name), slug(name)+fmt.Sprint(b.w.IntN(1_000_000)))
}

func editTag(ctx context.Context, b *blog) error {
	return b.change(ctx, b.someTag, `UPDATE myapp_tag SET name = ? WHERE id = ?`, capital(pick(b.w, b.w.topic().doings)))
}

func deleteTag(ctx context.Context, b *blog) error {
	id, err := b.someTag(ctx)
	if err != nil {
		return err
	}
	return b.execAll(ctx, id, `DELETE FROM myapp_note_tags WHERE tag_id = ?`, `DELETE FROM myapp_tag WHERE id = ?`)
}

// publishAuthor publishes and withdraws notes of one user, with one statement.
func publishAuthor(ctx context.Context, b *blog) error {
	return b.change(ctx, b.someUser, `UPDATE myapp_note SET published = (id + ?) % 5 > 0 WHERE user_id = ?`, b.w.IntN(5))
}

// countAll is the big transaction: half of all notes.
func countAll(ctx context.Context, b *blog) error {
	return b.exec(ctx, `UPDATE myapp_note SET views = views + 1 WHERE id % 2 = ?`, b.w.IntN(2))
}

// regret changes much and takes it all back.
func regret(ctx context.Context, b *blog) error {
	if err := b.change(ctx, b.someUser, `UPDATE myapp_note SET title = 'never seen', published = true WHERE user_id = ?`); err != nil {
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
	if err := b.exec(ctx, `SAVEPOINT half`); err != nil {
		return err
	}
	if err := regret(ctx, b); !errors.Is(err, errRegret) {
		return err
	}
	if err := b.exec(ctx, `ROLLBACK TO SAVEPOINT half`); err != nil {
		return err
	}
	b.rows = kept
	return logIn(ctx, b)
}

// execAll runs the statements with the same argument.
func (b *blog) execAll(ctx context.Context, id int64, statements ...string) error {
	for _, statement := range statements {
		if err := b.exec(ctx, statement, id); err != nil {
			return err
		}
	}
	return nil
}
