package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"haystream/sinks"
)

// Documents are found in the order of their sequence numbers, the server's own
// count of the writes to each shard: a range of those is a page. Unlike a scroll
// that takes nothing of the server between pages, and can be gone on with at any time.

const (
	copyPage   = 1000      // documents looked at in one page
	copyBodies = 50        // of those that are lacking, fetched at once to begin with
	copyBytes  = 1 << 20   // of documents, given on at once
	widestPage = 1 << 40   // sequence numbers in a page, where there are few documents
	seqNo      = "_seq_no" // the field of sequence numbers
)

// A hit is a document, as _search and _mget tell of it.
type hit struct {
	ID      string          `json:"_id"`
	Routing string          `json:"_routing"`
	Version int64           `json:"_version"`
	Seq     int64           `json:"_seq_no"`
	Found   bool            `json:"found"`
	Error   json.RawMessage `json:"error"`
	Source  json.RawMessage `json:"_source"`
}

// A copier looks for what one index lacks of another.
type copier struct {
	s        *Sink
	from, to string
	at       int64 // the first sequence number that was not looked at
	last     int64 // to look at
	whole    int64 // up to here no shard lacked one when the search began
	bodies   int   // documents fetched at once, as many as make up some copyBytes
	each     func([]sinks.Document, string) error
}

// Lacking implements sinks.Sink.
func (s *Sink) Lacking(ctx context.Context, from, to, at string, each func([]sinks.Document, string) error) error {
	c := &copier{s: s, from: from, to: to, bodies: copyBodies, each: each}
	if at != "" {
		var err error
		if c.at, err = strconv.ParseInt(at, 10, 64); err != nil {
			return fmt.Errorf("copy index %s: %q is not a place in it: %w", from, at, err)
		}
	}
	if err := c.run(ctx); err != nil {
		return fmt.Errorf("copy index %s to %s: %w", from, to, err)
	}
	return nil
}

func (c *copier) run(ctx context.Context) error {
	for _, physical := range []string{c.from, c.to} {
		if e, err := c.s.own(ctx, physical); err != nil || e == nil {
			return errors.Join(err, fmt.Errorf("index %s is gone", physical))
		}
	}
	if err := c.bounds(ctx); err != nil {
		return err
	}
	for width := int64(copyPage); c.at <= c.last; {
		end := min(c.at+width, c.last+1)
		hits, total, err := c.page(ctx, c.at, end, "")
		switch {
		case err != nil:
			return err
		case total > copyPage:
			width = max(width/2, 1)
			continue
		case total == 0:
			if end, err = c.next(ctx, end); err != nil {
				return err
			}
		}
		if total < copyPage/2 {
			width = min(2*width, widestPage)
		}
		if err := c.take(ctx, hits); err != nil {
			return err
		}
		c.at = end
		if err := c.each(nil, c.place()); err != nil {
			return err
		}
	}
	return nil
}

// place is where a later search must go on: a shard that was behind others has
// got documents since with numbers that were passed.
func (c *copier) place() string { return strconv.FormatInt(min(c.at, c.whole+1), 10) }

// bounds finds up to where to look, and lets all that was written until now be found.
func (c *copier) bounds(ctx context.Context) error {
	var answer struct {
		Indices map[string]struct {
			Shards map[string][]struct {
				Seq struct {
					Max   int64 `json:"max_seq_no"`
					Whole int64 `json:"local_checkpoint"`
				} `json:"seq_no"`
			} `json:"shards"`
		} `json:"indices"`
	}
	path := "/" + url.PathEscape(c.from)
	if err := c.s.client.call(ctx, http.MethodGet, path+"/_stats?level=shards&filter_path=indices.*.shards.*.seq_no", nil, &answer); err != nil {
		return err
	}
	first := true
	c.last, c.whole = -1, -1
	for _, copies := range answer.Indices[c.from].Shards {
		for _, shard := range copies {
			c.last = max(c.last, shard.Seq.Max)
			if first || shard.Seq.Whole < c.whole {
				c.whole, first = shard.Seq.Whole, false
			}
		}
	}
	return c.s.client.call(ctx, http.MethodPost, path+"/_refresh", nil, nil)
}

// page finds the documents with sequence numbers from start up to end, end not
// included, and how many there are. sort is empty, or asc or desc for the first one only.
func (c *copier) page(ctx context.Context, start, end int64, sort string) (hits []hit, total int, err error) {
	query := map[string]any{
		"size": copyPage, "track_total_hits": true, "_source": false, "seq_no_primary_term": true,
		"query": map[string]any{"range": map[string]any{seqNo: map[string]any{"gte": start, "lt": end}}},
	}
	if sort != "" {
		query["size"], query["track_total_hits"], query["sort"] = 1, false, []any{map[string]any{seqNo: sort}}
	}
	body, err := json.Marshal(query)
	if err != nil {
		return nil, 0, err
	}
	var answer struct {
		Hits struct {
			Total struct{ Value int } `json:"total"`
			Hits  []hit               `json:"hits"`
		} `json:"hits"`
	}
	path := "/" + url.PathEscape(c.from) + "/_search?allow_partial_search_results=false&filter_path=hits.total,hits.hits._id,hits.hits._routing,hits.hits._seq_no"
	if err := c.s.client.call(ctx, http.MethodPost, path, body, &answer); err != nil {
		return nil, 0, err
	}
	return answer.Hits.Hits, answer.Hits.Total.Value, nil
}

// next is the first sequence number of a document from start on.
func (c *copier) next(ctx context.Context, start int64) (int64, error) {
	hits, _, err := c.page(ctx, start, c.last+1, "asc")
	if err != nil || len(hits) == 0 {
		return c.last + 1, err
	}
	return hits[0].Seq, nil
}

// take gives on those documents that the other index lacks.
func (c *copier) take(ctx context.Context, hits []hit) error {
	var lacking []hit
	err := c.get(ctx, c.to, "_source=false&filter_path=docs._id,docs.found,docs.error", hits, func(n int, h *hit) error {
		if !h.Found {
			lacking = append(lacking, hits[n])
		}
		return nil
	})
	for len(lacking) > 0 && err == nil {
		n := min(len(lacking), c.bodies)
		err = c.fetch(ctx, lacking[:n])
		lacking = lacking[n:]
	}
	return err
}

// fetch fetches documents and gives them on.
func (c *copier) fetch(ctx context.Context, hits []hit) error {
	var docs []sinks.Document
	size, all := 0, 0
	give := func() error {
		if len(docs) == 0 {
			return nil
		}
		defer func() { docs, size = nil, 0 }()
		return c.each(docs, c.place())
	}
	// A filter_path would have the server write the documents anew, with other digits.
	err := c.get(ctx, c.from, "", hits, func(_ int, h *hit) error {
		switch {
		case !h.Found: // deleted since
			return nil
		case len(h.Source) == 0:
			return fmt.Errorf("document %s has no _source, which the mapping leaves out: the index cannot be replaced without losing it", h.ID)
		}
		doc := sinks.Document{ID: []byte(h.ID), Version: h.Version, Body: oneLine(h.Source)}
		if h.Routing != "" {
			doc.Routing = []byte(h.Routing)
		}
		docs, all = append(docs, doc), all+len(doc.Body)
		if size += len(doc.Body); size < copyBytes {
			return nil
		}
		return give()
	})
	switch {
	case all > 2*copyBytes:
		c.bodies = max(c.bodies/2, 1)
	case all < copyBytes/2 && len(hits) == c.bodies:
		c.bodies = min(2*c.bodies, copyPage)
	}
	if err != nil {
		return err
	}
	return give()
}

// get asks an index for documents as they are now, and calls each for them in order.
func (c *copier) get(ctx context.Context, physical, parameters string, hits []hit, each func(n int, h *hit) error) error {
	if len(hits) == 0 {
		return nil
	}
	type name struct {
		ID      string `json:"_id"`
		Routing string `json:"routing,omitempty"`
	}
	names := make([]name, len(hits))
	for i, h := range hits {
		names[i] = name{h.ID, h.Routing}
	}
	body, err := json.Marshal(map[string]any{"docs": names})
	if err != nil {
		return err
	}
	n := 0
	path := "/" + url.PathEscape(physical) + "/_mget?" + parameters
	err = c.s.client.stream(ctx, http.MethodPost, path, body, func(d *json.Decoder) error {
		for range 3 { // {"docs":[
			if _, err := d.Token(); err != nil {
				return err
			}
		}
		for ; d.More() && n < len(hits); n++ {
			var h hit
			switch err := d.Decode(&h); {
			case err != nil:
				return err
			case len(h.Error) > 0 || h.ID != hits[n].ID:
				return fmt.Errorf("get document %s: %s", hits[n].ID, h.Error)
			}
			if err := each(n, &h); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && n < len(hits) {
		err = fmt.Errorf("get documents of index %s: %d of %d came", physical, n, len(hits))
	}
	return err
}

// oneLine is a document as a bulk request has it.
func oneLine(source json.RawMessage) []byte {
	var line bytes.Buffer
	if bytes.IndexByte(source, '\n') < 0 || json.Compact(&line, source) != nil {
		return source
	}
	return line.Bytes()
}

// Newest implements sinks.Sink.
func (s *Sink) Newest(ctx context.Context, physical string) (int64, error) {
	path := "/" + url.PathEscape(physical)
	if err := s.client.call(ctx, http.MethodPost, path+"/_refresh", nil, nil); err != nil {
		return 0, fmt.Errorf("refresh index %s: %w", physical, err)
	}
	var answer struct {
		Hits struct {
			Hits []hit `json:"hits"`
		} `json:"hits"`
	}
	body := fmt.Appendf(nil, `{"size":%d,"_source":false,"version":true,"track_total_hits":false,"sort":[{%q:"desc"}]}`, copyPage, seqNo)
	if err := s.client.call(ctx, http.MethodPost, path+"/_search?allow_partial_search_results=false&filter_path=hits.hits._version", body, &answer); err != nil {
		return 0, fmt.Errorf("read versions of index %s: %w", physical, err)
	}
	newest := int64(0)
	for _, h := range answer.Hits.Hits {
		newest = max(newest, h.Version)
	}
	return newest, nil
}
