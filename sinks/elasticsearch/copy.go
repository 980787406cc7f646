package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"haystream/sinks"
	"haystream/sinks/deadletters"
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
	s      *Sink
	from   string
	to     string // with the indexes of its periods
	at     int64  // the first sequence number that was not looked at
	last   int64  // to look at
	width  int64  // of the next page, in sequence numbers
	shards int    // of the index
	whole  int64  // up to here no shard lacked one when the search began
	bodies int    // documents fetched at once, as many as make up some copyBytes
	each   func([]sinks.Document, string) error
}

// Lacking implements sinks.Sink. A place is the index, of those that belong to from,
// and a sequence number in it.
func (s *Sink) Lacking(ctx context.Context, from, to, at string, each func([]sinks.Document, string) error) error {
	begun, seq, ok := strings.Cut(at, "/")
	start := int64(0)
	if at != "" {
		if !ok { // as it was before there were periods
			begun, seq = from, at
		}
		var err error
		if start, err = strconv.ParseInt(seq, 10, 64); err != nil {
			return fmt.Errorf("copy index %s: %q is not a place in it: %w", from, at, err)
		}
	}
	sources, err := s.family(ctx, from)
	if err != nil || len(sources) == 0 {
		return fmt.Errorf("copy index %s to %s: %w", from, to, errors.Join(err, errors.New("the former is gone")))
	}
	target, err := s.own(ctx, to)
	if err != nil || target == nil {
		return fmt.Errorf("copy index %s to %s: %w", from, to, errors.Join(err, errors.New("the latter is gone")))
	}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		c := &copier{s: s, from: name, to: to, whole: math.MaxInt64 - 1, bodies: copyBodies, each: each}
		switch {
		case name < begun:
			continue
		case name == begun:
			c.at = start
		}
		if c.shards, err = strconv.Atoi(sources[name].Settings.Index.Shards); err != nil {
			return fmt.Errorf("copy index %s to %s: read its number of shards: %w", name, to, err)
		}
		// What is in the dead letters may come into the index meanwhile, so that it is looked at again.
		for _, step := range []func(context.Context) error{c.run, c.letters, c.run} {
			if err := step(ctx); err != nil {
				return fmt.Errorf("copy index %s to %s: %w", name, to, err)
			}
		}
	}
	return nil
}

// familyPath is the path of an index and those of its periods.
func familyPath(physical string) string {
	path := "/" + url.PathEscape(physical)
	if pattern := sinks.Periods(physical); pattern != "" {
		path += "," + url.PathEscape(pattern)
	}
	return path
}

func (c *copier) run(ctx context.Context) error {
	c.at, c.width = min(c.at, c.whole+1), copyPage
	if err := c.bounds(ctx); err != nil {
		return err
	}
	for c.at <= c.last {
		hits, end, err := c.found(ctx)
		if err == nil {
			err = c.take(ctx, hits)
		}
		if err != nil {
			return err
		}
		c.at = end
		if err := c.each(nil, c.place()); err != nil {
			return err
		}
	}
	return nil
}

// found are the documents of the next page, and the first sequence number after it.
func (c *copier) found(ctx context.Context) (hits []hit, end int64, err error) {
	for {
		end = min(c.at+c.width, c.last+1)
		hits, total, err := c.page(ctx, c.at, end, "")
		switch {
		case err != nil:
			return nil, 0, err
		case total > copyPage:
			c.width = max(c.width/2, 1)
			continue
		case total == 0:
			if end, err = c.next(ctx, end); err != nil {
				return nil, 0, err
			}
		}
		if total < copyPage/2 {
			c.width = min(2*c.width, widestPage)
		}
		return hits, end, nil
	}
}

// place is where a later search must go on: a shard that was behind others has
// got documents since with numbers that were passed.
func (c *copier) place() string { return c.from + "/" + strconv.FormatInt(min(c.at, c.whole+1), 10) }

// bounds finds up to where to look, and lets all that was written until now be found, in
// both indexes.
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
	if err := c.s.client.call(ctx, http.MethodPost, familyPath(c.to)+"/_refresh", nil, nil); err != nil {
		return err
	}
	if err := c.s.client.call(ctx, http.MethodGet, path+"/_stats?level=shards&filter_path=indices.*.shards.*.seq_no", nil, &answer); err != nil {
		return err
	}
	if n := len(answer.Indices[c.from].Shards); n != c.shards {
		return fmt.Errorf("only %d of its %d shards can be read", n, c.shards)
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
		"size": copyPage, "track_total_hits": true, "_source": false, "seq_no_primary_term": true, "version": true,
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
	path := "/" + url.PathEscape(c.from) + "/_search?allow_partial_search_results=false&filter_path=hits.total,hits.hits._id,hits.hits._routing,hits.hits._seq_no,hits.hits._version"
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

// take gives on those documents that the other index lacks, or has in an older version.
func (c *copier) take(ctx context.Context, hits []hit) error {
	have, err := c.have(ctx, hits)
	lacking := slices.DeleteFunc(hits, func(h hit) bool { return have[h.ID] >= h.Version })
	for len(lacking) > 0 && err == nil {
		n := min(len(lacking), c.bodies)
		err = c.fetch(ctx, lacking[:n], have)
		lacking = lacking[n:]
	}
	return err
}

// have finds which of some documents the other index has, by its last refresh, in which
// versions, which are 1 at least.
func (c *copier) have(ctx context.Context, hits []hit) (map[string]int64, error) {
	if len(hits) == 0 {
		return nil, nil
	}
	ids := make([]string, len(hits))
	for i, h := range hits {
		ids[i] = h.ID
	}
	body, err := json.Marshal(map[string]any{"size": 10 * copyPage, "_source": false, "version": true, "query": map[string]any{"ids": map[string]any{"values": ids}}})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Hits struct {
			Hits []hit `json:"hits"`
		} `json:"hits"`
	}
	path := familyPath(c.to) + "/_search?allow_partial_search_results=false&filter_path=hits.hits._id,hits.hits._version"
	if err := c.s.client.call(ctx, http.MethodPost, path, body, &answer); err != nil {
		return nil, err
	}
	have := map[string]int64{}
	for _, h := range answer.Hits.Hits {
		have[h.ID] = max(have[h.ID], h.Version)
	}
	return have, nil
}

// fetch fetches documents and gives them on. have are those that the other index has.
func (c *copier) fetch(ctx context.Context, hits []hit, have map[string]int64) error {
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
	err := c.get(ctx, hits, func(_ int, h *hit) error {
		switch {
		case !h.Found: // deleted since
			return nil
		case len(h.Source) == 0:
			return fmt.Errorf("document %s has no _source, which the mapping leaves out: the index cannot be replaced without losing it", h.ID)
		}
		doc := sinks.Document{ID: []byte(h.ID), Version: h.Version, Body: oneLine(h.Source), Older: have[h.ID] > 0}
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

// get asks the index for documents as they are now, and calls each for them in order.
func (c *copier) get(ctx context.Context, hits []hit, each func(n int, h *hit) error) error {
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
	path := "/" + url.PathEscape(c.from) + "/_mget"
	err = c.s.client.stream(ctx, callTimeout, http.MethodPost, path, body, func(d *json.Decoder) error {
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
		err = fmt.Errorf("get documents of index %s: %d of %d came", c.from, n, len(hits))
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

// letters gives on the documents that the index has refused, as they are in its dead
// letters, where the other index lacks them.
func (c *copier) letters(ctx context.Context) error {
	var all []deadletters.Letter
	err := c.s.eachLetter(ctx, c.from, func(l *deadletters.Letter) error {
		all = append(all, *l)
		return nil
	})
	for i := range all {
		if err == nil {
			err = c.letter(ctx, all[i].ID())
		}
	}
	return err
}

func (c *copier) letter(ctx context.Context, id string) error {
	letter, err := c.s.Letter(ctx, id)
	if err != nil || letter == nil || letter.Op != "index" {
		return err
	}
	doc := sinks.Document{ID: []byte(letter.ID), Version: letter.Version, Body: []byte(letter.Body), Refused: true}
	if letter.Routing != "" {
		doc.Routing = []byte(letter.Routing)
	}
	if letter.Body == "" {
		doc.Body, doc.Lost = nil, "its document was refused by the index "+c.from+", and not kept: "+letter.Reason
	}
	have, err := c.have(ctx, []hit{{ID: letter.ID}})
	if err != nil || have[letter.ID] >= max(letter.Version, 1) {
		return err
	}
	doc.Older = have[letter.ID] > 0
	return c.each([]sinks.Document{doc}, c.place())
}

// Newest implements sinks.Sink.
func (s *Sink) Newest(ctx context.Context, physical string) (int64, error) {
	path, there := familyPath(physical), "ignore_unavailable=true&allow_no_indices=true"
	if err := s.client.call(ctx, http.MethodPost, path+"/_refresh?"+there, nil, nil); err != nil {
		return 0, fmt.Errorf("refresh index %s: %w", physical, err)
	}
	var answer struct {
		Hits struct {
			Hits []hit `json:"hits"`
		} `json:"hits"`
	}
	body := fmt.Appendf(nil, `{"size":%d,"_source":false,"version":true,"track_total_hits":false,"sort":[{%q:"desc"}]}`, copyPage, seqNo)
	if err := s.client.call(ctx, http.MethodPost, path+"/_search?allow_partial_search_results=false&filter_path=hits.hits._version&"+there, body, &answer); err != nil {
		return 0, fmt.Errorf("read versions of index %s: %w", physical, err)
	}
	newest := int64(0)
	for _, h := range answer.Hits.Hits {
		newest = max(newest, h.Version)
	}
	return newest, nil
}
