package endtoend

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"haystream/internal/servers"
)

// A cutter passes connections on to a server until it is cut; then it keeps
// them open and passes nothing, as a network that loses every packet. It can also
// close each connection after some bytes, or be slow.
type cutter struct {
	listener net.Listener
	to       atomic.Pointer[string]
	gate     sync.RWMutex // held for writing while cut
	most     atomic.Int64 // bytes that may pass until all connections are closed; below 0: any number
	slow     atomic.Int64 // nanoseconds that each piece takes
	running  sync.WaitGroup
	mu       sync.Mutex
	open     []net.Conn
}

func newCutter(t *testing.T, to string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l}
	c.to.Store(&to)
	c.pass()
	c.running.Go(c.accept)
	t.Cleanup(func() {
		_ = l.Close()
		c.mu.Lock()
		for _, conn := range c.open {
			_ = conn.Close()
		}
		c.mu.Unlock()
		c.running.Wait()
	})
	return c
}

func (c *cutter) accept() {
	for {
		near, err := c.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", *c.to.Load())
		if err != nil {
			_ = near.Close()
			continue
		}
		c.mu.Lock()
		c.open = append(c.open, near, far)
		c.mu.Unlock()
		c.running.Go(func() { c.copy(near, far) })
		c.running.Go(func() { c.copy(far, near) })
	}
}

// cutAfter has every connection closed once so many bytes have passed, and each that comes after.
func (c *cutter) cutAfter(bytes int64) { c.most.Store(bytes) }

// address is where it listens.
func (c *cutter) address() string { return c.listener.Addr().String() }

// pass has everything pass again.
func (c *cutter) pass() {
	c.most.Store(-1)
	c.slow.Store(0)
}

// budget is how many of so many bytes may pass.
func (c *cutter) budget(n int) int {
	for {
		most := c.most.Load()
		may := min(int64(n), most)
		if most < 0 || c.most.CompareAndSwap(most, most-may) {
			if most < 0 {
				return n
			}
			return int(may)
		}
	}
}

func (c *cutter) copy(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	part := make([]byte, 32<<10)
	for {
		n, err := from.Read(part)
		time.Sleep(time.Duration(c.slow.Load()))
		c.gate.RLock()
		if n > 0 && err == nil {
			may := c.budget(n)
			if _, err = to.Write(part[:may]); err == nil && may < n {
				err = net.ErrClosed
			}
		}
		c.gate.RUnlock()
		if err != nil {
			return
		}
	}
}

// TestCutOff cuts an idle daemon off from its source or its sink, without a
// word: it is not ready within seconds, and ready again when the network is back.
func TestCutOff(t *testing.T) {
	type place struct {
		*world
		*cutter
		what, says string
	}
	var places []place
	for _, server := range []*servers.Shared{&postgres, mysqls[0], marias[0]} {
		s := server.Get(t)
		cut := newCutter(t, s.Addr)
		w := worldNamed(t, "cut_off_"+s.Kind, s, search.Get(t))
		w.url = strings.Replace(w.url, s.Addr, cut.address(), 1)
		places = append(places, place{w, cut, s.Kind, "source"})
	}
	es := *search.Get(t)
	cut := newCutter(t, strings.TrimPrefix(es.URL, "http://"))
	es.URL = "http://" + cut.address()
	places = append(places, place{worldNamed(t, "cut_off_sink", postgres.Get(t), &es), cut, "the sink", "sink"})
	for _, p := range places {
		p.follow(10)
	}
	for _, p := range places {
		p.gate.Lock()
	}
	began := time.Now()
	for _, p := range places {
		p.within(14*time.Second-time.Since(began), p.what+" is known to be cut off", func() bool {
			code, reason := p.get(p.readyURL())
			return code == http.StatusServiceUnavailable && strings.Contains(string(reason), p.says+": ")
		})
		t.Logf("%s: %s", p.what, time.Since(began).Round(100*time.Millisecond))
	}
	for _, p := range places {
		p.gate.Unlock()
	}
	for _, p := range places {
		p.within(40*time.Second, "the daemon is ready again", p.ready)
		p.exec("UPDATE hot SET counter = 9 WHERE id = 1")
		p.settle()
		p.compare(p.dialect.documents)
	}
}
