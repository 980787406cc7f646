package replicator

import (
	"context"
	"fmt"

	"github.com/rs/zerolog"

	"haystream/replicator/builds"
)

// An order is a change of the checkpoint that somebody has asked for. It ends the
// session in order, is made before the next one begins, and takes effect in that.
type order struct {
	change func(*builds.Checkpoint) error // an error refuses the order, and nothing is changed
	done   chan error                     // gets one answer
}

// errAsked ends a session for an order.
const errAsked = replan("somebody has asked for a change; planning anew")

// await takes an order while a session runs, and ends the session for it.
func (d *daemon) await(ended context.Context) error {
	select {
	case d.taken = <-d.orders:
		return errAsked
	case <-ended.Done():
		return nil
	}
}

// obey carries out the order that was taken, and answers it.
func (d *daemon) obey(ctx context.Context) {
	o := d.taken
	d.taken = nil
	if err := d.status.cannot(); err != nil {
		o.done <- err
		return
	}
	st, err := d.load(ctx, d.owner, zerolog.Nop())
	if err == nil {
		st.Update(func(cp *builds.Checkpoint) { err = o.change(cp) })
	}
	if err == nil {
		_, err = st.Save(ctx)
	}
	if err == nil { // who is answered sees it in /status
		st.View(func(cp *builds.Checkpoint) { d.status.paused(cp.Paused) })
	}
	o.done <- err
}

// order has a change made, and returns when it is in the saved checkpoint.
func (d *daemon) order(ctx context.Context, change func(*builds.Checkpoint) error) error {
	if err := d.status.cannot(); err != nil {
		return err
	}
	o := &order{change: change, done: make(chan error, 1)}
	select {
	case d.orders <- o:
	case <-ctx.Done():
		return unavailable("the daemon is between two sessions for longer than it was waited; nothing was done, ask again")
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("it takes longer than it was waited for; see /status: %w", ctx.Err())
	}
}
