package postgres

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// gatheredPair is a gatherConn and what is written to it.
func gatheredPair(t *testing.T) (*gatherConn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := gathering((&net.Dialer{}).DialContext)(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); _ = server.Close() })
	return conn.(*gatherConn), server
}

// A countedConn counts the reads that reach the socket.
type countedConn struct {
	net.Conn
	reads int
}

func (c *countedConn) Read(p []byte) (int, error) {
	c.reads++
	return c.Conn.Read(p)
}

func TestGatherReadsManyMessagesAtATime(t *testing.T) {
	conn, server := gatheredPair(t)
	counted := &countedConn{Conn: conn.Conn}
	conn.Conn = counted
	const messages = 20000
	var want bytes.Buffer
	for i := range messages {
		want.WriteString("message ")
		want.WriteByte(byte(i))
	}
	go func() { // ends with the last message, or when the connection is closed
		for rest := want.Bytes(); len(rest) > 0; rest = rest[9:] {
			if _, err := server.Write(rest[:9]); err != nil {
				return
			}
		}
		_ = server.Close()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Fatalf("got %d bytes, %v; want %d", len(got), err, want.Len())
	}
	if counted.reads > messages/4 {
		t.Errorf("%d reads for %d messages", counted.reads, messages)
	}
}

func TestGatherReadsTheLastMessageOfARunWithoutMore(t *testing.T) {
	conn, server := gatheredPair(t)
	p := make([]byte, 10)
	for range 5 {
		if _, err := server.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(p); n != 1 || err != nil {
			t.Fatalf("got %d bytes, %v", n, err)
		}
	}
}

func TestGatherKeepsDeadlines(t *testing.T) {
	conn, _ := gatheredPair(t)
	if err := conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want an exceeded deadline", err)
	}
}

func TestGatherPassesOnWhatDialingReturns(t *testing.T) {
	refused := errors.New("refused")
	_, err := gathering(func(context.Context, string, string) (net.Conn, error) { return nil, refused })(t.Context(), "tcp", "x")
	if !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
}
