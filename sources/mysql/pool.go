package mysql

import (
	"context"
	"sync"
)

// A pool keeps idle query connections, so that a chunk does not pay for a new one.
type pool struct {
	endpoint *endpoint

	mu     sync.Mutex
	idle   []*conn
	closed bool
}

// use lends a connection to work, which must leave no transaction open. A
// connection that failed is not kept.
func (p *pool) use(ctx context.Context, work func(*conn) error) error {
	c, err := p.get(ctx)
	if err != nil {
		return err
	}
	err = work(c)
	p.put(c, err)
	return explain(err)
}

func (p *pool) get(ctx context.Context) (*conn, error) {
	for {
		c := p.pop()
		if c == nil {
			return p.endpoint.connect(ctx, queryLimit)
		}
		// The server may have closed it since.
		if c.ping(ctx) == nil {
			return c, nil
		}
		c.close()
	}
}

func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	last := len(p.idle) - 1
	c := p.idle[last]
	p.idle = p.idle[:last]
	return c
}

// put takes a connection back. After an error it may have a transaction open.
func (p *pool) put(c *conn, err error) {
	p.mu.Lock()
	keep := !p.closed && !c.broken && err == nil
	if keep {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		c.close()
	}
}

func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
}
