package postgres

import (
	"context"
	"net"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// gatherTime is how long the log may pile up in the socket, at most.
	gatherTime = time.Millisecond

	// gatherBytes is the most that is read at a time.
	gatherBytes = 128 << 10
)

// A gatherConn reads a busy connection in large pieces. The server sends each
// message by itself, and to wake up for each costs both sides more than the
// message does. What arrives after a quiet moment is read at once.
type gatherConn struct {
	net.Conn
	raw    syscall.RawConn // nil: the socket cannot be tuned
	buffer []byte
	unread []byte    // of buffer
	quiet  time.Time // from when on a message is waited for; before it, messages pile up
}

// gathering wraps the connections that dial makes.
func gathering(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := &gatherConn{Conn: conn, buffer: make([]byte, gatherBytes)}
		if tcp, ok := conn.(*net.TCPConn); ok {
			if c.raw, err = tcp.SyscallConn(); err != nil {
				return nil, err
			}
		}
		return c, nil
	}
}

// Read implements net.Conn.
func (c *gatherConn) Read(p []byte) (int, error) {
	if len(c.unread) == 0 {
		n, err := c.fill()
		if err != nil {
			return 0, err
		}
		c.unread = c.buffer[:n]
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

// fill reads what has come, or else what comes next.
func (c *gatherConn) fill() (int, error) {
	if n := c.poll(); n > 0 {
		return n, nil
	}
	if wait := time.Until(c.quiet); wait > 0 {
		c.rest(wait)
	}
	n, err := c.Conn.Read(c.buffer)
	c.quiet = time.Now().Add(gatherTime)
	return n, err
}

// rest sleeps while messages pile up. The kernel is told not to wake the
// process for them.
func (c *gatherConn) rest(wait time.Duration) {
	c.lowWater(gatherBytes)
	time.Sleep(wait)
	c.lowWater(1)
}
