package mysql

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"haystream/sources"
)

const (
	keepAliveIdle  = 15 * time.Second
	keepAliveEvery = 5 * time.Second
	keepAliveCount = 3
	closeTimeout   = time.Second

	// queryLimit bounds a query, on the server too where the connection is lost.
	queryLimit = 10 * time.Minute

	// dumpPatience is how long the server waits for a stream that reads nothing.
	dumpPatience = time.Hour
)

// A conn is one connection with the session that all values are read in.
// It is not for concurrent use.
type conn struct {
	*client.Conn
	flavor  flavor
	version string // the server's own words, such as 8.4.3 or 11.8.9-MariaDB-log

	network *wire         // below TLS
	limit   time.Duration // of a query; 0: none
	numeric bool          // a TINYINT(1) is a number
	broken  bool          // the protocol's state is not known any more
	packets packetReader  // of whatever comes after the login
}

// connect opens a connection, whose queries may take as long as limit; 0 is
// for the one that streams the log, which sets its own deadlines.
func (e *endpoint) connect(ctx context.Context, limit time.Duration) (*conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, e.timeout, fmt.Errorf("no answer in %s", e.timeout))
	defer cancel()
	c, err := e.login(ctx, e.tls)
	if errors.Is(err, errNoTLS) && e.plainToo {
		c, err = e.login(ctx, nil)
	}
	if serverCode(err) == codeUnknownDatabase {
		err = fmt.Errorf("%w: %w; correct the database in source.url", sources.ErrConfig, err)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", e.dial, explain(err))
	}
	c.limit, c.numeric = limit, e.numeric
	if err := c.open(ctx, e.flavor); err != nil {
		c.close()
		return nil, fmt.Errorf("connect to %s: %w", e.dial, explain(err))
	}
	return c, nil
}

// pool lends connections for queries.
func (e *endpoint) pool() *sources.Pool[*conn] {
	connect := func(ctx context.Context) (*conn, error) { return e.connect(ctx, queryLimit) }
	ping := func(ctx context.Context, c *conn) error { return c.ping(ctx) }
	usable := func(c *conn, err error) bool { return !c.broken && err == nil }
	return sources.NewPool(connect, ping, usable, (*conn).close)
}

// errNoTLS means that the server does not encrypt.
var errNoTLS = errors.New("the server has no TLS")

// noTLS is how the client library says it, which it does before it sends anything.
const noTLS = "does not support TLS"

// login dials, and lets the client library shake hands and log in.
func (e *endpoint) login(ctx context.Context, config *tls.Config) (c *conn, err error) {
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: keepAliveIdle, Interval: keepAliveEvery, Count: keepAliveCount,
	}}
	dialed, err := dialer.DialContext(ctx, e.network, e.dial)
	if err != nil {
		return nil, err
	}
	network := &wire{Conn: dialed}
	// The library itself does not look at the context any more.
	stop := context.AfterFunc(ctx, func() { _ = network.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		// It reads past the end of an answer that it does not expect.
		if recover() != nil {
			err = errors.New("the server's handshake is not understood; without TLS, caching_sha2_password takes RSA keys on the server")
		}
		if !stop() {
			err = context.Cause(ctx)
		}
		if err != nil {
			c = nil
			_ = network.Close()
		}
	}()
	dial := func(context.Context, string, string) (net.Conn, error) { return network, nil }
	library, err := client.ConnectWithDialer(ctx, e.network, e.dial, e.user, e.password, e.database, dial, func(library *client.Conn) error {
		// Both make the form of requests and answers depend on the server.
		library.UnsetCapability(mysql.CLIENT_QUERY_ATTRIBUTES)
		library.UnsetCapability(mysql.CLIENT_DEPRECATE_EOF)
		library.SetAttributes(map[string]string{"program_name": "haystream"})
		if config != nil {
			library.SetTLSConfig(config)
		}
		return nil
	})
	if err != nil {
		if strings.Contains(err.Error(), noTLS) {
			err = errNoTLS
		}
		return nil, err
	}
	return &conn{Conn: library, flavor: e.flavor, network: network, packets: newPacketReader(library.Conn.Conn)}, nil
}

// open finds out which server it is and sets up the session.
func (c *conn) open(ctx context.Context, want flavor) error {
	row, err := c.one(ctx, "SELECT VERSION(), @@version_comment")
	if err != nil {
		return fmt.Errorf("read version: %w", err)
	}
	c.version = row[0]
	c.flavor = mysqlServer
	if strings.Contains(strings.ToLower(row[0]+row[1]), "mariadb") {
		c.flavor = mariadbServer
	}
	if c.flavor != want {
		return fmt.Errorf("%w: the server is %s, not %s; write source.url as %s://…", sources.ErrConfig, c.flavor.product(), want.product(), c.flavor)
	}
	for _, statement := range c.flavor.session(c.version, c.limit) {
		if err := c.exec(ctx, statement); err != nil {
			return fmt.Errorf("set up session: %w", err)
		}
	}
	return nil
}

// guard makes the end of ctx and the limit end the work that follows, until
// the returned function is called. That one says why the work was ended; after
// that the connection cannot be used any more.
func (c *conn) guard(ctx context.Context) (release func() error) {
	var deadline time.Time
	if c.limit > 0 {
		deadline = time.Now().Add(c.limit)
	}
	_ = c.network.SetDeadline(deadline)
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(fired)
		_ = c.network.SetDeadline(time.Unix(1, 0))
	})
	return func() error {
		if !stop() {
			<-fired
			c.broken = true
			return context.Cause(ctx)
		}
		if c.limit > 0 && !time.Now().Before(deadline) {
			c.broken = true
			return fmt.Errorf("no answer in %s", c.limit)
		}
		return nil
	}
}

// ping reports whether the server is still there.
func (c *conn) ping(ctx context.Context) error {
	return c.exec(ctx, "DO 0")
}

// close says good-bye and closes the connection.
func (c *conn) close() {
	_ = c.network.SetDeadline(time.Now().Add(closeTimeout))
	if c.broken || c.Quit() != nil {
		_ = c.Close()
	}
}
