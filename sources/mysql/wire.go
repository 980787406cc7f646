package mysql

import (
	"errors"
	"net"
	"os"
	"time"
)

// A wire is a connection whose reader, while the server says nothing, does
// something else from time to time. Whatever reads from it never sees a
// timeout, and so never stands within a packet.
type wire struct {
	net.Conn

	// idle is called when nothing has come for as long as it last said, and
	// first when nothing is there to read. nil: deadlines are the caller's.
	idle func() (wait time.Duration, err error)
}

// Read reads what there is, or waits for it.
func (w *wire) Read(p []byte) (int, error) {
	if w.idle == nil {
		return w.Conn.Read(p)
	}
	for {
		wait, err := w.idle()
		if err != nil {
			return 0, err
		}
		n, err := w.Conn.Read(p)
		if n == 0 && wait >= 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		return n, err
	}
}

// interrupt ends a wait, from any goroutine: idle is called.
func (w *wire) interrupt() { _ = w.SetReadDeadline(time.Unix(1, 0)) }
