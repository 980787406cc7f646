package replicator

import (
	"slices"

	"haystream/internal/fault"
	"haystream/replicator/reading"
)

// ready takes the first waiting chunk whose mark the stream has reached, if
// none of its scan waits before it.
func (p *pipeline) ready() *loadedChunk {
	for i, c := range p.waiting {
		if !p.source.Reached(p.position, c.chunk.Mark) {
			continue
		}
		if !slices.ContainsFunc(p.waiting[:i], func(earlier *loadedChunk) bool { return earlier.scan == c.scan }) {
			p.waiting = append(p.waiting[:i:i], p.waiting[i+1:]...)
			return c
		}
	}
	return nil
}

// merge sends a chunk's rows on, but for those that the stream has changed
// since: its images are newer. The rows carry the Version of the last change
// applied, since they show the table as that change left it.
func (p *pipeline) merge(c *loadedChunk, send func(*job) error) error {
	if c.check != nil {
		p.check(c)
		return nil
	}
	defer p.windows.Close(c.window)
	switch {
	case c.lookup != nil:
		return p.looked(c)
	case c.scan.stored != nil:
		return p.store(c)
	}
	rows, ok := p.windows.Unchanged(c.window, c.chunk)
	if !ok || !reading.SameKey(c.after, c.scan.last) {
		c.answer <- false
		return nil
	}
	read := len(c.chunk.Rows)
	j := &job{chunk: c, rows: rows, version: p.version}
	j.delivery = &delivery{chunk: &chunkProgress{scan: c.scan, last: c.chunk.Last, rows: int64(read), done: c.chunk.Done}}
	for _, r := range c.scan.routes {
		r.firstMerge.CompareAndSwap(unmerged, p.seq+1)
	}
	if err := send(j); err != nil {
		return err
	}
	fault.Point("chunk merged")
	p.merged(c, read)
	return nil
}

// store puts a chunk's rows into the row store.
func (p *pipeline) store(c *loadedChunk) error {
	h, ok := p.windows.Happened(c.window, c.chunk)
	if !ok || !reading.SameKey(c.after, c.scan.last) {
		c.answer <- false
		return nil
	}
	if err := p.joins.Merge(c.scan.stored, c.chunk, h); err != nil {
		return err
	}
	p.merged(c, len(c.chunk.Rows))
	return nil
}

// looked puts rows into the row store that were read again.
func (p *pipeline) looked(c *loadedChunk) error {
	h, ok := p.windows.Happened(c.window, c.chunk)
	if !ok {
		c.answer <- false
		return nil
	}
	err := p.joins.Found(c.lookup, c.chunk, h)
	c.answer <- true
	return err
}

// merged tells the scan to go on.
func (p *pipeline) merged(c *loadedChunk, read int) {
	p.gauges.rows.Add(int64(read))
	c.scan.read.Add(int64(read))
	if c.chunk.Last != nil {
		c.scan.last = c.chunk.Last
	}
	c.answer <- true
}
