package main

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/go-mysql-org/go-mysql/driver"
	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// What an own server of a kind that has accounts is given.
const (
	ownDatabase = "blog"
	ownUser     = "haystream"
)

// The MySQL driver goes on with a connection that has broken. The demo's guests may restart the database.
const connectionLifetime = 5 * time.Second

// timeLayout is how a time is handed to a database, in UTC.
const timeLayout = "2006-01-02 15:04:05.000000"

// database is where the blog is. Its sessions are in UTC.
type database struct {
	dialect
	*sql.DB
}

// openDatabase connects to nothing yet.
func openDatabase(address string) (*database, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("open database: its address is not a URL") // the reason would repeat a password
	}
	d, err := dialectOf(u.Scheme)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	pool, err := d.open(address)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	pool.SetConnMaxLifetime(connectionLifetime)
	return &database{d, pool}, nil
}

func openPostgres(address string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["timezone"] = "UTC"
	return stdlib.OpenDB(*config), nil
}

func openMySQL(address string) (*sql.DB, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	c := driver.Connector{Addr: u.Host, User: u.User.Username(), Params: u.Query()}
	c.Password, _ = u.User.Password()
	if u.Port() == "" {
		c.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	if len(u.Path) > 1 {
		c.DB = u.Path[1:]
	}
	return sql.OpenDB(c), nil
}

// furnish makes an own server's database and the daemon's user, and returns the URLs for the demo and for the daemon.
func furnish(ctx context.Context, address string) (own, daemons string, err error) {
	db, err := openDatabase(address)
	if err != nil {
		return "", "", err
	}
	defer db.Close()
	if len(db.accounts) == 0 {
		return address, address, nil
	}
	for _, statement := range db.accounts {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return "", "", fmt.Errorf("make the sample database: %w", err)
		}
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", "", fmt.Errorf("parse the server's address: %w", err)
	}
	u.Path = "/" + ownDatabase
	own = u.String()
	u.User = url.User(ownUser)
	return own, u.String(), nil
}

// transact commits what the function has done, unless that fails.
func (db *database) transact(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	if err := do(tx); err != nil {
		_ = tx.Rollback() // what failed before says why
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// passes reports whether an error of a writer's passes by itself: two writers met, and the loser's transaction had no effect; or the
// database went away.
func (db *database) passes(err error) bool {
	if code := db.code(err); code != "" {
		return slices.Contains(db.passing, code)
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, sqldriver.ErrBadConn) || errors.Is(err, mysql.ErrBadConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
