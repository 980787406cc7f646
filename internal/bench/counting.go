package main

import (
	"context"
	"errors"
	"fmt"
)

// counting is a sink that throws documents away.
const counting = "{ndjson: {path: /dev/null}}"

// snapshots reads the table into nothing, in turn with a plain client. It
// returns the pipelines, each with a finished snapshot, stopped.
func (b *bench) snapshots(ctx context.Context) ([]*daemon, error) {
	r := result{database: b.product.name, what: "snapshot into nothing", baseline: b.product.scan, ratio: 0.6, cpu: 3, documents: b.rows}
	var pipelines []*daemon
	for i := range rounds {
		took, err := b.db.scan(ctx)
		if err != nil {
			return nil, err
		}
		r.theirs = append(r.theirs, took)
		d, err := b.daemon(ctx, fmt.Sprintf("count%d", i), counting, "")
		if err != nil {
			return nil, err
		}
		m, err := d.measure(ctx, d.loaded)
		if err != nil {
			return nil, err
		}
		note("snapshot: %.2f s, %s %.2f s", m.took.Seconds(), r.baseline, took.Seconds())
		r.ours = append(r.ours, m)
		pipelines = append(pipelines, d)
	}
	b.report.results = append(b.report.results, r)
	return pipelines, nil
}

// measure runs the daemon until done, and stops it.
func (d *daemon) measure(ctx context.Context, done func(context.Context) (bool, error)) (m measured, err error) {
	if err := d.start(ctx); err != nil {
		return m, err
	}
	if m, err = d.await(ctx, done); err != nil {
		if d.cmd != nil {
			err = errors.Join(err, d.cmd.Process.Kill(), <-d.ended)
		}
		return m, err
	}
	return m, d.stop()
}

// streams lets stopped pipelines catch up with log that was written meanwhile,
// in turn with plain clients over the same log.
func (b *bench) streams(ctx context.Context, pipelines []*daemon) error {
	for _, size := range []int{100, b.rows} {
		drained := result{
			database: b.product.name, what: fmt.Sprintf("stream, transactions of %d", size), baseline: b.product.drain,
			ratio: b.product.share, cpu: 5, documents: b.rows,
		}
		decoded := drained
		decoded.baseline, decoded.ratio = b.product.follow, 0.9
		if err := b.db.keepLog(ctx); err != nil {
			return err
		}
		note("updating %d rows in transactions of %d", b.rows, size)
		if err := b.db.update(ctx, size); err != nil {
			return err
		}
		for round, d := range pipelines {
			limit, err := b.db.drain(ctx, round)
			if err != nil {
				return err
			}
			took, err := b.db.follow(ctx, round)
			if err != nil {
				return err
			}
			m, err := d.measure(ctx, d.delivered(b.rows))
			if err != nil {
				return err
			}
			note("stream: %.2f s, %s %.2f s, %s %.2f s", m.took.Seconds(), drained.baseline, limit.Seconds(), decoded.baseline, took.Seconds())
			drained.theirs, decoded.theirs = append(drained.theirs, limit), append(decoded.theirs, took)
			drained.ours, decoded.ours = append(drained.ours, m), append(decoded.ours, m)
		}
		b.report.results = append(b.report.results, drained, decoded)
	}
	return nil
}
