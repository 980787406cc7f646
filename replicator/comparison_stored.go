package replicator

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"haystream/internal/backoff"
	"haystream/mapping/rowstore"
	"haystream/replicator/joins"
	"haystream/replicator/reading"
	"haystream/replicator/verify"
	"haystream/sources"
)

// stored compares the rows of a table after a key with what the row store has.
func (c *comparison) stored(ctx context.Context, t *joins.Table, after sources.Key) error {
	table := t.Source.String()
	for n := 0; ; {
		c.step("stored table %s: %d rows compared", table, n)
		rows, chunk, err := c.storedChunk(ctx, t, sources.ChunkRequest{Table: t.Source, After: after}, nil)
		if err != nil {
			return err
		}
		n += len(rows)
		c.log.Compared(table, len(rows))
		for _, s := range rows {
			c.set.Add([]byte(table), []byte(s.Key))
		}
		if err := c.settleStored(ctx, t, rows); err != nil {
			return err
		}
		if chunk.chunk.Done {
			return nil
		}
		after = chunk.chunk.Last
		if err := c.reach(after); err != nil {
			return err
		}
	}
}

// storedChunk reads rows and compares them with the store at their mark. asked are the stored rows that it is read for.
func (c *comparison) storedChunk(ctx context.Context, t *joins.Table, req sources.ChunkRequest, asked map[string]sources.Key) (rows []joins.Stored, chunk *loadedChunk, err error) {
	err = c.persist(ctx, func() error {
		chunk, err = c.chunk(ctx, req, true, func(at *loadedChunk, h reading.Happened) (err error) {
			if asked == nil {
				at.chunk.Rows = c.picked(at.chunk.Rows, t.Having(nil).Columns)
			}
			rows, err = c.p.joins.Compare(t, at.chunk, h, asked)
			return err
		})
		if chunk != nil {
			c.p.windows.Close(chunk.window)
		}
		return err
	})
	return rows, chunk, err
}

// settleStored looks again at stored rows that differ or have changed meanwhile, and has them read again.
func (c *comparison) settleStored(ctx context.Context, t *joins.Table, rows []joins.Stored) error {
	wrong := func(s *joins.Stored) bool { return !s.There || s.Gone || len(s.Fields) > 0 }
	retry := backoff.Backoff{Min: 10 * time.Millisecond, Max: time.Second}
	told, seen, looks := map[string]verify.Difference{}, map[string]bool{}, map[string]int{}
	for {
		next := map[string]sources.Key{}
		var mend []sources.Key
		if slices.ContainsFunc(rows, func(s joins.Stored) bool { return !s.Touched && wrong(&s) && seen[s.Key] }) {
			if err := c.persist(ctx, func() error { return c.p.source.Look(ctx) }); err != nil {
				return err
			}
		}
		for i := range rows {
			s := &rows[i]
			d, known := told[s.Key]
			switch {
			case s.Touched && (looks[s.Key] > 0 || wrong(s)):
				next[s.Key] = s.Texts
			case s.Touched:
			case !wrong(s):
				if known && !d.Repaired && c.options.Repair {
					d.Repaired = true
					told[s.Key] = d
					c.log.Repaired(d)
				}
			case !seen[s.Key]:
				seen[s.Key], next[s.Key] = true, s.Texts
			default:
				if !known {
					d = verify.Difference{Table: t.Source.String(), Kind: verify.Different, ID: strings.Join(s.Texts, ","), Fields: s.Fields}
					switch {
					case s.Gone:
						d.Kind, d.Fields = verify.Extra, nil
					case !s.There:
						d.Kind = verify.Missing
					}
					told[s.Key] = d
					c.log.Found(d)
				}
				if c.options.Repair {
					mend, next[s.Key] = append(mend, s.Texts), s.Texts
				}
			}
		}
		if len(mend) > 0 {
			if err := c.p.do(ctx, func() error { return c.p.joins.ReadAgain(t, mend) }); err != nil {
				return err
			}
		}
		for key := range next {
			if looks[key]++; looks[key] > compareLooks {
				if _, known := told[key]; !known {
					c.log.Update(func(r *verify.Report) { r.Unsettled++ })
				}
				delete(next, key)
			}
		}
		if len(next) == 0 {
			return nil
		}
		if err := retry.Wait(ctx, 0); err != nil {
			return err
		}
		var keys []sources.Key
		for _, texts := range next {
			keys = append(keys, texts)
		}
		var err error
		if rows, err = c.storedByKey(ctx, t, keys, next); err != nil {
			return err
		}
		// An extra row that is not there any more was repaired.
		back := map[string]bool{}
		for _, s := range rows {
			back[s.Key] = true
		}
		for key, d := range told {
			if _, asked := next[key]; asked && !back[key] && d.Kind == verify.Extra && !d.Repaired && c.options.Repair {
				d.Repaired = true
				told[key] = d
				c.log.Repaired(d)
			}
		}
	}
}

// storedByKey compares rows by key.
func (c *comparison) storedByKey(ctx context.Context, t *joins.Table, keys []sources.Key, asked map[string]sources.Key) (all []joins.Stored, err error) {
	for len(keys) > 0 {
		n := min(len(keys), c.reader.limits.ChunkRows-1)
		for {
			part := map[string]sources.Key{}
			for key, texts := range asked {
				if slices.ContainsFunc(keys[:n], func(k sources.Key) bool { return slices.Equal(k, texts) }) {
					part[key] = texts
				}
			}
			rows, chunk, err := c.storedChunk(ctx, t, sources.ChunkRequest{Table: t.Source, Having: t.Having(keys[:n])}, part)
			if err != nil {
				return nil, err
			}
			if !chunk.chunk.Done && n > 1 {
				n /= 2
				continue
			}
			all = append(all, rows...)
			break
		}
		keys = keys[n:]
	}
	return all, nil
}

// storedExtra looks for stored rows that the source does not have, and for such as the store's indexes do not lead to.
func (c *comparison) storedExtra(ctx context.Context, t *joins.Table) error {
	c.step("stored table %s: rows that the source does not have", t.Source)
	for after, done := []byte(nil), false; !done; {
		unknown := map[string]sources.Key{}
		var unindexed []indexed
		known, err := c.set.Read()
		if err != nil {
			return err
		}
		after, done, err = c.p.joins.Rows(t, after, compareRows, func(key []byte, texts sources.Key, columns []string) {
			if columns != nil {
				unindexed = append(unindexed, indexed{key: key, texts: texts, columns: columns})
			}
			if !known.Has([]byte(t.Source.String()), key) {
				unknown[string(key)] = texts
			}
		})
		if err = errors.Join(err, known.Close()); err == nil {
			err = c.reindex(ctx, t, unindexed)
		}
		if err != nil {
			return err
		}
		var keys []sources.Key
		for _, texts := range unknown {
			keys = append(keys, texts)
		}
		rows, err := c.storedByKey(ctx, t, keys, unknown)
		if err == nil {
			err = c.settleStored(ctx, t, rows)
		}
		if err != nil {
			return err
		}
	}
	return c.strays(ctx, t)
}

// An indexed is a stored row that an index of the store does not lead to, or leads to by what the row is not.
type indexed struct {
	key     []byte
	texts   sources.Key
	columns []string
	stray   *rowstore.Stray
}

// strays looks for entries of the store's indexes that no row has.
func (c *comparison) strays(ctx context.Context, t *joins.Table) error {
	c.step("stored table %s: its indexes", t.Source)
	for after, done := []byte(nil), false; !done; {
		var found []indexed
		var err error
		after, done, err = c.p.joins.Strays(t, after, compareRows, func(s rowstore.Stray, texts sources.Key, columns []string) {
			found = append(found, indexed{texts: texts, columns: columns, stray: &s})
		})
		if err == nil {
			err = c.reindex(ctx, t, found)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// reindex tells of wrong indexes, and mends them. What is stored of a row and its entries in the indexes always change
// together, so that one look is enough.
func (c *comparison) reindex(ctx context.Context, t *joins.Table, found []indexed) error {
	if len(found) == 0 {
		return nil
	}
	var told []verify.Difference
	var rows [][]byte
	var strays []rowstore.Stray
	for _, f := range found {
		d := verify.Difference{Table: t.Source.String(), Kind: verify.Different, ID: strings.Join(f.texts, ","), Fields: []string{"_index(" + strings.Join(f.columns, ",") + ")"}}
		c.log.Found(d)
		told = append(told, d)
		if f.stray == nil {
			rows = append(rows, f.key)
		} else {
			strays = append(strays, *f.stray)
		}
	}
	if !c.options.Repair {
		return nil
	}
	mended := make(chan struct{})
	err := c.p.do(ctx, func() error {
		err := c.p.joins.Reindex(t, rows, strays)
		if err == nil {
			close(mended)
		}
		return err // which ends the session
	})
	if err != nil {
		return err
	}
	select {
	case <-mended:
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, d := range told {
		c.log.Repaired(d)
	}
	return nil
}
