package sources

import (
	"context"
	"time"

	"github.com/jackc/puddle/v2"
)

// mostConnections is more than a pipeline ever uses at a time.
const mostConnections = 64

// A Pool keeps idle query connections, so that a chunk does not pay for a new
// one. For use from any goroutine.
type Pool[C any] struct {
	conns  *puddle.Pool[C]
	ping   func(context.Context, C) error
	usable func(C, error) bool
}

// NewPool returns a pool of connections that connect opens and end closes. ping
// says whether the server still has one that was idle; usable whether one can
// be lent again after work that returned the error.
func NewPool[C any](connect func(context.Context) (C, error), ping func(context.Context, C) error, usable func(C, error) bool, end func(C)) *Pool[C] {
	conns, _ := puddle.NewPool(&puddle.Config[C]{Constructor: connect, Destructor: end, MaxSize: mostConnections}) // it refuses no other sizes than 0 and below
	return &Pool[C]{conns, ping, usable}
}

// Use lends a connection to work, which must leave no transaction open.
func (p *Pool[C]) Use(ctx context.Context, work func(C) error) error {
	lent, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	if err = work(lent.Value()); p.usable(lent.Value(), err) {
		lent.Release()
	} else {
		lent.Destroy()
	}
	return err
}

// acquire returns a connection that is new, or answers.
func (p *Pool[C]) acquire(ctx context.Context) (*puddle.Resource[C], error) {
	began := time.Now()
	for {
		found, err := p.conns.Acquire(ctx)
		if err != nil || !found.CreationTime().Before(began) || p.ping(ctx, found.Value()) == nil {
			return found, err
		}
		found.Destroy()
	}
}

// Close ends the idle connections, waits until those that are lent are back, and
// ends them. Nothing is lent any more.
func (p *Pool[C]) Close() { p.conns.Close() }
