package main

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
)

// inStore is true of every row, and needs them all to be stored: it depends on the time.
const inStore = "created < now()"

// stores compares a pipeline whose rows are stored with one whose rows are not,
// over the same table and the same log.
func (b *bench) stores(ctx context.Context) error {
	plain, err := b.daemon(ctx, "plain", counting, "")
	if err != nil {
		return err
	}
	stored, err := b.daemon(ctx, "stored", counting, inStore)
	if err != nil {
		return err
	}
	both := func(what string, done func(*daemon) func(context.Context) (bool, error)) error {
		r := result{database: b.product.name, what: what + ", rows stored", baseline: "not stored", documents: b.rows}
		without, err := plain.measure(ctx, done(plain))
		if err != nil {
			return err
		}
		with, err := stored.measure(ctx, done(stored))
		if err != nil {
			return err
		}
		r.theirs, r.ours = append(r.theirs, without.took), append(r.ours, with)
		b.report.results = append(b.report.results, r)
		size, err := folderSize(filepath.Join(stored.dir, "state"))
		note("%s: %.2f s, not stored %.2f s (%.1f s of CPU), %d bytes of store for a row", r.what, with.took.Seconds(), without.took.Seconds(), without.cpu.Seconds(), size/int64(b.rows))
		return err
	}
	if err := both("snapshot", func(d *daemon) func(context.Context) (bool, error) { return d.loaded }); err != nil {
		return err
	}
	const size = 100
	if err := b.db.update(ctx, size); err != nil {
		return err
	}
	return both(fmt.Sprintf("stream, transactions of %d", size), func(d *daemon) func(context.Context) (bool, error) { return d.delivered(b.rows) })
}

// folderSize is the bytes of all files in a folder.
func folderSize(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}
