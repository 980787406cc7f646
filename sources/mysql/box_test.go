package mysql

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"haystream/internal/conf"
	"haystream/sources"
)

const patience = time.Minute

// A box is a real server with an administrator's connection to it, for tests
// of what is outside of the stream.
type box struct {
	*testing.T
	*url.URL // of the administrator
	admin    *conn
}

func newBox(t *testing.T, text string) *box {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	b := &box{T: t, URL: u}
	b.admin = b.connect(b.with("", "", ""))
	// What the tests set up is the administrator's to change.
	b.exec("SET SESSION TRANSACTION READ WRITE")
	return b
}

// with is the URL of another user, "user:password", another database, and parameters.
func (b *box) with(user, database, params string) string {
	u := *b.URL
	if user != "" {
		name, password, _ := strings.Cut(user, ":")
		u.User = url.UserPassword(name, password)
	}
	u.Path, u.RawQuery = "/"+database, params
	return u.String()
}

func (b *box) endpoint(text string) *endpoint {
	b.Helper()
	e, err := parseURL(sources.Config{URL: conf.Secret(text)})
	b.must(err)
	return e
}

func (b *box) connect(text string) *conn {
	b.Helper()
	c, err := b.endpoint(text).connect(b.Context(), patience)
	b.must(err)
	b.Cleanup(c.close)
	return c
}

func (b *box) source(text string) *Source {
	b.Helper()
	s, err := New(sources.Config{URL: conf.Secret(text)}, zerolog.Nop())
	b.must(err)
	b.Cleanup(s.Close)
	return s
}

func (b *box) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *box) exec(statements ...string) {
	b.Helper()
	for _, statement := range statements {
		if err := b.admin.exec(b.Context(), statement); err != nil {
			b.Fatalf("%s: %v", statement, err)
		}
	}
}

// ask returns the first value of a query.
func (b *box) ask(query string) string {
	b.Helper()
	row, err := b.admin.one(b.Context(), query)
	b.must(err)
	return row[0]
}

// isMaria reports whether the server is MariaDB.
func (b *box) isMaria() bool { return b.admin.flavor == mariadbServer }

// user makes a user, whose name is no other test's, with a password of "x".
func (b *box) user(name, how string) {
	b.Helper()
	b.exec("DROP USER IF EXISTS '"+name+"'@'%'", "CREATE USER '"+name+"'@'%' "+how)
}

// schema makes an empty database.
func (b *box) schema(name string) {
	b.Helper()
	b.exec("DROP DATABASE IF EXISTS "+name, "CREATE DATABASE "+name)
}

// set sets a global variable until the test ends.
func (b *box) set(name, value string) {
	b.Helper()
	before := b.ask("SELECT @@GLOBAL." + name)
	b.exec("SET GLOBAL " + name + " = " + value)
	b.Cleanup(func() {
		if strings.Trim(before, "0123456789") != "" || before == "" {
			before = "'" + before + "'"
		}
		b.again("SET GLOBAL " + name + " = " + before)
	})
}

// again runs a statement when the test has ended, and its context with it.
func (b *box) again(statement string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := b.endpoint(b.with("", "", "")).connect(ctx, patience)
	b.must(err)
	defer c.close()
	b.must(c.exec(ctx, "SET SESSION TRANSACTION READ WRITE"))
	b.must(c.exec(ctx, statement))
}
