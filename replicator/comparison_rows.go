package replicator

import (
	"context"
	"encoding/hex"
	"fmt"

	"haystream/mapping"
	"haystream/replicator/reading"
	"haystream/sinks"
	"haystream/sources"
)

// A look is what the documents of some rows should be.
type look struct {
	keys      []sources.Key // of the rows
	ends      []int         // where the actions of each end
	out       sinks.Batch
	clock     int64               // the source's, before they were read, in µs
	stored    bool                // in the row store
	sure      bool                // what differs is wrong
	touched   func(i int) bool    // whether a row has changed since
	end       func()              // ends it
	mend      func([]wrong) error // has documents written again
	rest      []sources.Key       // that were asked for and not looked at
	documents int                 // that were compared
	last      sources.Key         // of the last row
	done      bool                // no rows follow
}

// A rows gives looks at the rows of a definition's table: at those with some keys, or, without, at
// those of the next ones after a key that are in the sample.
type rows interface {
	look(ctx context.Context, after sources.Key, keys []sources.Key) (*look, error)
	appends() bool // only the presence of documents is compared
	String() string
}

// flatRows are the rows of a table whose documents are made of nothing else.
type flatRows struct {
	c *comparison
	r *mapping.Renderer
}

func (f *flatRows) String() string { return f.r.Table.String() }

func (f *flatRows) appends() bool { return f.r.Append }

func (f *flatRows) look(ctx context.Context, after sources.Key, keys []sources.Key) (*look, error) {
	c := f.c
	l := &look{sure: true}
	l.clock = c.p.now()
	var chunk *loadedChunk
	var err error
	if keys == nil {
		chunk, err = c.chunk(ctx, sources.ChunkRequest{Table: f.r.Table, After: after}, false, nil)
	} else {
		chunk, l.rest, err = c.byKey(ctx, f.r.Table, keys)
	}
	if err != nil {
		return nil, err
	}
	win, version := chunk.window, chunk.version
	l.end = func() { c.p.windows.Close(win) }
	l.last, l.done = chunk.chunk.Last, chunk.chunk.Done
	if keys == nil {
		chunk.chunk.Rows = c.picked(chunk.chunk.Rows, f.r.Table.Key)
	}
	for _, row := range chunk.chunk.Rows {
		if err := f.r.Row(c.scratch, &l.out, c.t.Target, row, version); err != nil {
			l.end()
			return nil, fmt.Errorf("render %s: %w", f.r.Name, err)
		}
		l.keys, l.ends = append(l.keys, row.Key(f.r.Table.Key)), append(l.ends, len(l.out.Actions))
	}
	l.touched = func(i int) bool {
		h, ok := c.p.windows.Happened(win, chunk.chunk)
		name := reading.AppendName(nil, chunk.chunk.Rows[i], f.r.Table.Key)[4:]
		return !ok || h.Changed.Has(name) || h.Partial.Has(name)
	}
	l.mend = func(all []wrong) error {
		var actions []sinks.Action
		for _, w := range all {
			a := *w.action
			// What changes the row from now on has a later Version.
			if a.Version = max(version, l.clock-settles.Microseconds()); w.have != nil {
				a.Version = max(a.Version, w.have.Version)
			}
			actions = append(actions, a)
		}
		return c.write(ctx, actions)
	}
	return l, nil
}

// byKey reads the rows with the first ones of some keys: as many as one chunk holds. A row may have a key of
// another text by now that the source holds equal, so that which rows are left is not told by those that came.
func (c *comparison) byKey(ctx context.Context, t *sources.Table, keys []sources.Key) (chunk *loadedChunk, rest []sources.Key, err error) {
	for n := min(len(keys), c.reader.limits.ChunkRows-1); ; n /= 2 {
		having := &sources.Values{Columns: t.Key, Of: keys[:n]}
		chunk, err = c.chunk(ctx, sources.ChunkRequest{Table: t, Having: having}, false, nil)
		if err != nil || chunk.chunk.Done || n == 1 {
			return chunk, keys[n:], err
		}
		c.p.windows.Close(chunk.window)
	}
}

// joinedRows are stored rows whose documents are made of several tables.
type joinedRows struct {
	c *comparison
	n int
	r *mapping.JoinedRenderer
}

func (r *joinedRows) String() string { return r.r.Stored.String() }

func (r *joinedRows) appends() bool { return r.r.Append }

// look takes keys of the row store; after is one in hexadecimal digits.
func (r *joinedRows) look(ctx context.Context, after sources.Key, keys []sources.Key) (*look, error) {
	c := r.c
	l := &look{stored: true}
	var from []byte
	if after != nil {
		var err error
		if from, err = hex.DecodeString(after[0]); err != nil {
			return nil, fmt.Errorf("decode place: %w", err)
		}
	}
	var asked []string
	for i, key := range keys {
		if i == compareRows {
			l.rest = keys[i:]
			break
		}
		asked = append(asked, key[0])
	}
	check, err := c.p.joins.Check(c.t.Physical, r.n, c.scratch, &l.out, from, asked, c.options.Picks, c.reader.limits.ChunkRows, compareBytes)
	if err != nil {
		return nil, err
	}
	for _, key := range check.Keys {
		l.keys = append(l.keys, sources.Key{key})
	}
	l.ends, l.sure, l.done, l.touched, l.end = check.Ends, check.Sure, check.Done, check.Touched, check.End
	l.last = sources.Key{hex.EncodeToString(check.Last)}
	l.mend = func(all []wrong) error {
		version, now := int64(0), c.p.now()
		marks := map[string]bool{}
		var rows []string
		for _, w := range all {
			if w.have != nil {
				version = max(version, w.have.Version)
			}
			if !marks[w.key[0]] {
				marks[w.key[0]] = true
				rows = append(rows, w.key[0])
			}
		}
		return c.p.do(ctx, func() error { return c.p.joins.Mend(c.t.Physical, r.n, rows, max(version, now)) })
	}
	return l, c.reader.rate.take(ctx, len(check.Keys), c.reader.limits.MaxRowsPerSecond)
}
