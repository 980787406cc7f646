package postgres

import (
	"context"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// gatherTime is how long the log may pile up in the socket. The server
	// sends each message by itself; to wake up for each costs both sides more
	// than the message does.
	gatherTime = time.Millisecond

	gatherBytes = 128 << 10
)

// A gatherConn reads what has come at most once in gatherTime, or as often as
// it comes in such amounts that nothing is gained by waiting. What arrives
// after a quiet moment is read at once.
type gatherConn struct {
	net.Conn
	buffer []byte
	unread []byte // of buffer
	again  time.Time
}

// gathering wraps the connections that dial makes.
func gathering(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &gatherConn{Conn: conn, buffer: make([]byte, gatherBytes)}, nil
	}
}

// Read implements net.Conn.
func (c *gatherConn) Read(p []byte) (int, error) {
	if len(c.unread) == 0 {
		time.Sleep(time.Until(c.again))
		n, err := c.Conn.Read(c.buffer)
		if err != nil {
			return 0, err
		}
		c.unread, c.again = c.buffer[:n], time.Time{}
		if n < gatherBytes {
			c.again = time.Now().Add(gatherTime)
		}
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}
