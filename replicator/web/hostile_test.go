package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"haystream/replicator/config"
)

// A pipes listener hands out connections in memory, whose deadlines go by a bubble's clock.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9600} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// A visit is one hostile client: what it sends, and how.
type visit struct {
	send  string
	every time.Duration // between single bytes; 0: all at once
	cut   bool          // the connection ends behind it
}

// TestHostileClients: no client holds the server longer than the timeouts say, whatever it sends, and
// others are answered meanwhile and afterwards.
func TestHostileClients(t *testing.T) {
	large := fmt.Sprintf("POST /events/clicks HTTP/1.1\r\nHost: localhost:9600\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", 8<<20)
	for name, c := range map[string]struct {
		visit
		clients int
		within  time.Duration // until its connection is closed
		status  int           // of the answer, where there is one; 503: or 400, to the one whose turn it was
	}{
		"says nothing":                {visit{}, 300, 6 * time.Second, 0},
		"slow request line":           {visit{send: "GET /status HTTP/1.1\r\n", every: time.Second}, 20, 6 * time.Second, 400},
		"headers without end":         {visit{send: "GET / HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("X: y\r\n", 1000), every: 10 * time.Millisecond}, 5, 6 * time.Second, 400},
		"huge headers":                {visit{send: "GET / HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("y", 1<<20) + "\r\n\r\n"}, 5, time.Second, 431},
		"no HTTP":                     {visit{send: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"}, 5, time.Second, 400},
		"two lengths":                 {visit{send: "POST /events/clicks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"}, 5, time.Second, 400},
		"length and chunks":           {visit{send: "POST /events/clicks HTTP/1.1\r\nHost: localhost:9600\r\nContent-Type: application/json\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /status HTTP/1.1\r\n\r\n"}, 5, time.Second, 400},
		"a slow body":                 {visit{send: large + strings.Repeat(" ", 30), every: 100 * time.Millisecond}, 1, 11 * time.Second, 400},
		"a slow chunk":                {visit{send: "POST /events/clicks HTTP/1.1\r\nHost: localhost:9600\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n{"}, 1, 11 * time.Second, 400},
		"a body that is cut":          {visit{send: large + `[{"id":"lost"}`, cut: true}, 20, time.Second, 0},
		"a body that is never sent":   {visit{send: large}, 20, 31 * time.Second, 503},
		"a length beyond all":         {visit{send: "POST /events/clicks HTTP/1.1\r\nHost: localhost:9600\r\nContent-Type: application/json\r\nContent-Length: 9000000000000000000\r\n\r\n"}, 5, 11 * time.Second, 413},
		"a request, and nothing more": {visit{send: "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"}, 50, 62 * time.Second, 200},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queue := &fakeQueue{}
				s := newServer(&stage{status: Status{State: "running"}}, queue, nil)
				all := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
				s.listener = all
				s.prepare(config.HTTPConfig{Listen: "127.0.0.1:9600"})
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- s.Serve(ctx) }()

				begun, statuses := time.Now(), make(chan int)
				for range c.clients {
					go func() { statuses <- c.pay(all.dial()) }()
				}
				synctest.Wait()
				if status := (visit{send: "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"}).pay(all.dial()); status != http.StatusOK {
					t.Errorf("meanwhile another client is answered %d", status)
				}
				for range c.clients {
					if status := <-statuses; status != c.status && status != 0 && (c.status != 503 || status != 400) {
						t.Errorf("answered %d, want %d", status, c.status)
					}
				}
				if took := time.Since(begun); took > c.within {
					t.Errorf("held for %s, want %s at most", took, c.within)
				}
				if len(queue.got) > 0 {
					t.Errorf("events are kept: %v", queue.ids())
				}
				push := "POST /events/clicks HTTP/1.1\r\nHost: localhost:9600\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 10\r\n\r\n" + `{"id":"a"}`
				if status := (visit{send: push}).pay(all.dial()); status != http.StatusAccepted || fmt.Sprint(queue.ids()) != "[a]" {
					t.Errorf("afterwards another client is answered %d, and %v is kept", status, queue.ids())
				}
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second) // by the bubble's clock: net/http lingers behind an answer
			})
		})
	}
}

// pay sends, and returns the status of the last answer when the server has closed the connection.
func (v visit) pay(c net.Conn) (status int) {
	sent := make(chan struct{})
	defer func() { c.Close(); <-sent }()
	go func() {
		defer close(sent)
		if v.every == 0 {
			_, _ = io.WriteString(c, v.send)
		}
		for i := 0; v.every > 0 && i < len(v.send); i++ {
			if _, err := io.WriteString(c, v.send[i:i+1]); err != nil {
				break
			}
			time.Sleep(v.every) // by the bubble's clock
		}
		if v.cut {
			_ = c.Close()
		}
	}()
	in := bufio.NewReader(c)
	for {
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			return status
		}
		status = answer.StatusCode
		_, _ = io.Copy(io.Discard, answer.Body)
	}
}
