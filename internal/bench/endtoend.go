package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"haystream/internal/servers"
)

// A feed is the daemon and the baseline, each with an index of its own.
type feed struct {
	daemon   *daemon
	index    string // the baseline's
	physical string // the daemon's
}

// endToEnd replicates into a real Elasticsearch, in turn with ready-made bulk
// requests of the same lines, then measures how soon a commit can be read.
func (b *bench) endToEnd(ctx context.Context) (err error) {
	server, err := servers.Start(ctx, servers.Spec{Kind: servers.Elasticsearch, Version: "8.19"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	es := &search{url: server.URL, client: &http.Client{}}
	lines, err := b.capture(ctx)
	if err != nil {
		return err
	}
	if err := es.warm(ctx, lines); err != nil {
		return fmt.Errorf("warm the server up: %w", err)
	}
	var feeds []*feed
	loads := result{database: b.product.name, what: "snapshot into Elasticsearch", baseline: "raw _bulk", ratio: 0.9, documents: b.rows}
	for i := range rounds {
		f, err := b.load(ctx, es, lines, i, &loads)
		if err != nil {
			return err
		}
		feeds = append(feeds, f)
	}
	b.report.results = append(b.report.results, loads)
	follows := result{database: b.product.name, what: "stream into Elasticsearch", baseline: "raw _bulk", ratio: 0.9, documents: b.rows}
	note("updating %d rows in transactions of 100", b.rows)
	if err := b.db.update(ctx, 100); err != nil {
		return err
	}
	if err := lines.catchUp(ctx, b.rows); err != nil {
		return err
	}
	for _, f := range feeds {
		if err := b.follow(ctx, es, lines, f, &follows); err != nil {
			return err
		}
	}
	b.report.results = append(b.report.results, follows)
	return b.latency(ctx, es, feeds[0].daemon)
}

// lines are the bulk lines that a daemon writes for the same rows and log.
type lines struct {
	daemon *daemon
	path   string
	alias  string // that they are written to
	text   []byte // of the last run
	offset int
}

// capture writes the snapshot's lines into a file.
func (b *bench) capture(ctx context.Context) (*lines, error) {
	l := &lines{path: filepath.Join(b.dir, "lines.ndjson")}
	var err error
	if l.daemon, err = b.daemon(ctx, "lines", fmt.Sprintf("{ndjson: {path: %q}}", l.path), ""); err != nil {
		return nil, err
	}
	if _, err := l.daemon.measure(ctx, l.daemon.loaded); err != nil {
		return nil, err
	}
	return l, l.read()
}

// catchUp writes the lines of so many changes into the file.
func (l *lines) catchUp(ctx context.Context, rows int) error {
	if _, err := l.daemon.measure(ctx, l.daemon.delivered(rows)); err != nil {
		return err
	}
	return l.read()
}

// read takes what was appended to the file since the last time.
func (l *lines) read() error {
	text, err := os.ReadFile(l.path)
	if err != nil {
		return fmt.Errorf("read lines: %w", err)
	}
	l.text, l.offset = text[l.offset:], len(text)
	_, rest, _ := bytes.Cut(l.text, []byte(`"_index":"`))
	alias, _, ok := bytes.Cut(rest, []byte(`"`))
	if !ok {
		return errors.New("read lines: no bulk line in the file")
	}
	l.alias = string(alias)
	return nil
}

// warmBytes is how much the server is given before anything is measured: it
// compiles itself as it goes.
const warmBytes = 100 << 20

// warm posts some of the lines into an index that is dropped.
func (s *search) warm(ctx context.Context, l *lines) error {
	const index = "warm"
	if err := s.create(ctx, index, blueprint{}); err != nil {
		return err
	}
	if err := s.point(ctx, l.alias, index); err != nil {
		return err
	}
	if _, err := s.bulk(ctx, l.text[:cut(l.text, warmBytes)]); err != nil {
		return err
	}
	if _, err := s.request(ctx, http.MethodDelete, "/"+index, nil); err != nil {
		return err
	}
	return s.settle(ctx)
}

// load measures a first snapshot, then posts the same lines into an index of
// the same mapping and settings.
func (b *bench) load(ctx context.Context, es *search, l *lines, round int, into *result) (*feed, error) {
	d, err := b.daemon(ctx, fmt.Sprintf("search%d", round), fmt.Sprintf("{elasticsearch: {addresses: [%q]}}", es.url), "")
	if err != nil {
		return nil, err
	}
	f := &feed{daemon: d, index: fmt.Sprintf("raw%d", round)}
	var loading blueprint
	m, err := d.measure(ctx, func(ctx context.Context) (bool, error) {
		if f.physical == "" {
			s, err := d.status(ctx)
			if err != nil {
				return false, err
			}
			f.physical = s.Indexes[0].Physical
			if loading, err = es.blueprint(ctx, f.physical); err != nil {
				return false, err
			}
		}
		return d.loaded(ctx)
	})
	if err != nil {
		return nil, err
	}
	into.ours = append(into.ours, m)
	if err := b.complete(ctx, es, f.physical); err != nil {
		return nil, err
	}
	if err := es.create(ctx, f.index, loading); err != nil {
		return nil, err
	}
	if err := b.replay(ctx, es, l, f, into); err != nil {
		return nil, err
	}
	serving, err := es.blueprint(ctx, f.physical)
	if err != nil {
		return nil, err
	}
	return f, es.adapt(ctx, f.index, serving)
}

// follow measures the stream over log that was written meanwhile, then posts
// the same lines.
func (b *bench) follow(ctx context.Context, es *search, l *lines, f *feed, into *result) error {
	if err := es.settle(ctx); err != nil {
		return err
	}
	m, err := f.daemon.measure(ctx, f.daemon.delivered(b.rows))
	if err != nil {
		return err
	}
	into.ours = append(into.ours, m)
	return b.replay(ctx, es, l, f, into)
}

// replay times the ready-made lines into the feed's own index.
func (b *bench) replay(ctx context.Context, es *search, l *lines, f *feed, into *result) error {
	if err := es.point(ctx, l.alias, f.index); err != nil {
		return err
	}
	if err := es.settle(ctx); err != nil {
		return err
	}
	took, err := es.bulk(ctx, l.text)
	if err != nil {
		return err
	}
	note("%s: %.2f s, raw %.2f s", into.what, into.ours[len(into.ours)-1].took.Seconds(), took.Seconds())
	into.theirs = append(into.theirs, took)
	if err := b.complete(ctx, es, f.index); err != nil {
		return err
	}
	return es.settle(ctx)
}

// complete checks that an index holds every row.
func (b *bench) complete(ctx context.Context, es *search, index string) error {
	n, err := es.count(ctx, index)
	if err == nil && n != b.rows {
		err = fmt.Errorf("index %s holds %d documents, want %d", index, n, b.rows)
	}
	return err
}
