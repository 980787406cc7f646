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

	// gatherBytes is the amount that is read at a time.
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
	again  time.Time // when to read next; what is there then is enough
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
		c.gather()
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

// gather sleeps until the next read is due. The kernel is told not to wake
// the process for less than that read can take.
func (c *gatherConn) gather() {
	wait := time.Until(c.again)
	if wait <= 0 {
		return
	}
	c.lowWater(gatherBytes / 2)
	time.Sleep(wait)
	c.lowWater(1)
}
