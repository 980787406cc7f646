package replicator

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"haystream/internal/backoff"
	"haystream/internal/preflight"
	"haystream/sinks"
)

// A cluster is the simulated sink's server. The world's lock guards it.
type cluster struct {
	*world
	indexes     map[string]*physical
	aliases     map[string]string
	checkpoints map[string]saved
	numbers     int       // UUIDs and tokens given out
	refusing    time.Time // until when it takes nothing, for it is busy
	away        time.Time // until when it does not answer
	past        []saved   // checkpoints
	answered    int       // how many were saved with an answer
	backup      *cluster  // as it was once
	lives       int       // how often it was put back to that
}

type physical struct {
	sinks.Index
	documents map[string]document
	made      int  // the moment at which the catalog was read for it
	view      view // of its definition
}

// A document has the version of the last write; no body: it is deleted.
type document struct {
	version int64
	body    string
	moment  int // at which the tables gave it at the earliest
}

type saved struct {
	data  []byte
	token sinks.Token
}

func newCluster(w *world) *cluster {
	c := &cluster{world: w, indexes: map[string]*physical{}, aliases: map[string]string{}, checkpoints: map[string]saved{}}
	c.backup = c.copy()
	return c
}

func (c *cluster) number() string {
	c.numbers++
	return strconv.Itoa(c.numbers)
}

// copy is the cluster's indexes, aliases and checkpoints.
func (c *cluster) copy() *cluster {
	other := &cluster{indexes: map[string]*physical{}, aliases: maps.Clone(c.aliases), checkpoints: maps.Clone(c.checkpoints), past: slices.Clone(c.past), answered: c.answered}
	for name, p := range c.indexes {
		other.indexes[name] = &physical{p.Index, maps.Clone(p.documents), p.made, p.view}
	}
	return other
}

// restore puts back all that a backup has; the first one has nothing.
func (c *cluster) restore() {
	was := c.backup.copy()
	c.indexes, c.aliases, c.checkpoints, c.past, c.losable = was.indexes, was.aliases, was.checkpoints, was.past, true
	c.lives++
	c.tell("the sink is put back to what it was")
}

// putBack puts back a checkpoint, or removes it.
func (c *cluster) putBack(random *rand.Rand) {
	c.losable = true
	n := random.IntN(len(c.past) + 1)
	if n == len(c.past) {
		clear(c.checkpoints)
		c.tell("the checkpoint is deleted")
		return
	}
	c.checkpoints["sim"] = saved{c.past[n].data, sinks.Token(c.number())}
	c.tell("checkpoint %d of %d is put back", n, len(c.past))
}

// meddle is what somebody's hand does to an index or an alias.
func (c *cluster) meddle(random *rand.Rand) {
	names := slices.Sorted(maps.Keys(c.indexes))
	if len(names) == 0 {
		return
	}
	name := names[random.IntN(len(names))]
	alias := c.indexes[name].Alias
	switch random.IntN(3) {
	case 0:
		c.drop(name)
		c.tell("%s is deleted", name)
	case 1:
		delete(c.aliases, alias)
		c.tell("the alias %s is deleted", alias)
	case 2:
		delete(c.aliases, sinks.WriteAlias(name))
		c.tell("the write alias of %s is deleted", name)
	}
}

// A client is a daemon's connections to the cluster.
type client struct {
	*cluster
	of *machine
}

var errAnswer = errors.New("no answer")

// ask is a request that does something under the lock. It may do so though the answer is lost.
func (c *client) ask(ctx context.Context, what string, do func()) error {
	what = c.of.name + " " + what
	if err := errors.Join(c.awake(ctx, c.of), backoff.Pause(ctx, c.latency(what))); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.of.isDead() || time.Now().Before(c.away):
		return errAnswer
	case c.faulty(60, "lost "+what):
		return errAnswer
	}
	do()
	if c.faulty(60, "unanswered "+what) {
		return errAnswer
	}
	return nil
}

func (c *client) Info(ctx context.Context) (sinks.Info, error) {
	return sinks.Info{Kind: "elasticsearch", Version: "simulated", Address: "nowhere"}, c.ask(ctx, "Info", func() {})
}

func (c *client) Check(ctx context.Context, _ []sinks.IndexSpec) ([]preflight.Finding, error) {
	return nil, c.ask(ctx, "Check", func() {})
}

func (c *client) Close() {}

// A letter is an action on its way, and its batch.
type letter struct {
	sinks.Action
	left *atomic.Int64
	done func()
}

// lanes is how many requests are on their way at once.
const lanes = 4

func (c *client) Write(ctx context.Context, in <-chan *sinks.Batch, leased func() bool) error {
	g, ctx := errgroup.WithContext(ctx)
	var all [lanes]chan letter
	for i := range all {
		lane := make(chan letter, 16)
		all[i] = lane
		g.Go(func() error {
			for l := range lane {
				if err := c.send(ctx, &l.Action, leased); err != nil {
					return err
				}
				if l.left.Add(-1) == 0 {
					l.done()
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		for _, lane := range all {
			defer close(lane)
		}
		for {
			select {
			case b, more := <-in:
				if !more {
					return nil
				}
				left := &atomic.Int64{}
				left.Store(int64(len(b.Actions)))
				actions, done := slices.Clone(b.Actions), b.Done // the batch is used again once the last one is done
				for _, a := range actions {
					h := fnv.New32a()
					_, _ = h.Write([]byte(a.Target.Physical + "/" + string(a.ID)))
					select {
					case all[h.Sum32()%lanes] <- letter{a, left, done}:
					case <-ctx.Done():
						return ctx.Err()
					}
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	return g.Wait()
}

// send sends an action until it is held.
func (c *client) send(ctx context.Context, a *sinks.Action, leased func() bool) error {
	retry := backoff.Backoff{Min: 20 * time.Millisecond, Max: 2 * time.Second}
	write := sinks.Action{Target: a.Target, Op: a.Op, Version: a.Version, ID: slices.Clone(a.ID), Body: slices.Clone(a.Body)}
	for {
		if err := sinks.AwaitLease(ctx, leased); err != nil {
			return err
		}
		if held := c.try(ctx, &write); held {
			return nil
		}
		if c.of.isDead() {
			<-ctx.Done()
		}
		if err := retry.Wait(ctx, 0); err != nil {
			return err
		}
	}
}

// try is one request. What is on its way when the daemon ends may still come.
func (c *client) try(ctx context.Context, a *sinks.Action) (held bool) {
	what := fmt.Sprintf("%s write %s/%s %d", c.of.name, a.Target.Physical, a.ID, a.Version)
	err := errors.Join(c.awake(ctx, c.of), backoff.Pause(ctx, c.latency(what)))
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil || c.of.isDead():
		if c.faulty(2, "dead "+what) {
			c.comes(what, a)
		}
		return false
	case time.Now().Before(c.refusing) || time.Now().Before(c.away) || c.faulty(20, "lost "+what):
		return false
	case c.faulty(30, "late "+what):
		c.comes(what, a)
		return false
	}
	return c.take(a) && !c.faulty(20, "unanswered "+what)
}

// comes takes a write late. An index that somebody has deleted since, and that a checkpoint from before it was made has
// made again under its name, is another one: no version can tell that the write is of before.
func (c *cluster) comes(what string, a *sinks.Action) {
	index := c.to(a)
	c.late(what, func() {
		if c.to(a) == index {
			c.take(a)
		}
	})
}

// to is where an action goes; nil: there is no such index.
func (c *cluster) to(a *sinks.Action) *physical { return c.indexes[c.aliases[a.Target.WriteAlias]] }

// take writes a document; false: there is no such index.
func (c *cluster) take(a *sinks.Action) bool {
	index := c.to(a)
	if index == nil {
		return false
	}
	if a.Op == sinks.OpReject {
		c.fail("%s of %s was refused: %s", a.ID, index.Physical, a.Body)
		return true
	}
	id := string(a.ID)
	old := index.documents[id]
	if a.Version < old.version {
		return true
	}
	c.tell("    %s/%s version %d: %s", index.Physical, id, a.Version, a.Body)
	moment, ok := c.shown(index.view, index.Alias+"/"+id, string(a.Body), old.moment)
	switch {
	case c.outdated(index):
		moment = old.moment
	case a.Version == old.version && old.body != string(a.Body) && c.repairs && c.losable && a.Op == sinks.OpDelete:
		// What an index has that lacks a part of the log is extra, and a repair deletes it as it is.
	case a.Version == old.version && old.body != string(a.Body):
		c.fail("document %s of %s has two contents of version %d: %q and %q", id, index.Physical, a.Version, old.body, a.Body)
	case !ok:
		c.fail("document %s of %s, version %d, became %q, which it was not at moment %d or since; it was %q, version %d", id, index.Physical, a.Version, a.Body, old.moment, old.body, old.version)
	}
	index.documents[id] = document{a.Version, string(a.Body), moment}
	return true
}

// outdated reports whether an index goes on from rows of before, and by the columns of after, until another one serves.
func (c *cluster) outdated(index *physical) bool {
	return index.made < max(c.emptied, c.stale[index.Alias])
}

func (c *client) Takes(ctx context.Context, t *sinks.Target) (why string, err error) {
	return "", c.ask(ctx, "Takes", func() {})
}

func (c *client) Health() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().Before(c.refusing) || time.Now().Before(c.away) {
		return errAnswer
	}
	return nil
}

func (c *client) DeadLetters(ctx context.Context) (map[string]int64, error) {
	return nil, c.ask(ctx, "DeadLetters", func() {})
}

func (c *client) Index(ctx context.Context, alias string) (index *sinks.Index, err error) {
	err = c.ask(ctx, "Index", func() {
		if p := c.indexes[c.aliases[alias]]; p != nil {
			index = &p.Index
		}
	})
	return index, err
}

func (c *client) Standing(ctx context.Context, alias, name string) (s sinks.Standing, err error) {
	err = c.ask(ctx, "Standing", func() {
		s = sinks.Standing{WritesTo: c.aliases[sinks.WriteAlias(name)]}
		if p := c.indexes[name]; p != nil {
			s.UUID = p.UUID
		}
		if to := c.aliases[alias]; to != "" {
			s.Serving = []string{to}
		}
	})
	return s, err
}

func (c *client) Foreign(ctx context.Context, _ string) (*sinks.Foreign, error) {
	return nil, c.ask(ctx, "Foreign", func() {})
}

func (c *client) Take(ctx context.Context, alias, name string) ([]string, error) {
	return nil, c.Swap(ctx, alias, name)
}

func (c *client) Made(ctx context.Context, alias string) (made []*sinks.Index, err error) {
	err = c.ask(ctx, "Made", func() {
		made = nil
		for _, name := range slices.Sorted(maps.Keys(c.indexes)) {
			if p := c.indexes[name]; (alias == "" || p.Alias == alias) && c.aliases[sinks.WriteAlias(name)] == name {
				made = append(made, &p.Index)
			}
		}
	})
	return made, err
}

func (c *client) Newest(ctx context.Context, name string) (version int64, err error) {
	err = c.ask(ctx, "Newest", func() {
		if p := c.indexes[name]; p != nil {
			for _, d := range p.documents {
				version = max(version, d.version)
			}
		}
	})
	return version, err
}

func (c *client) Create(ctx context.Context, spec sinks.IndexSpec) (index *sinks.Index, err error) {
	err = c.ask(ctx, "Create", func() {
		p := c.indexes[spec.Physical]
		if p == nil {
			p = &physical{sinks.Index{Alias: spec.Alias, Physical: spec.Physical, UUID: c.number(), Meta: spec.Meta}, map[string]document{}, c.of.planned, c.of.view}
			c.indexes[spec.Physical] = p
			c.aliases[sinks.WriteAlias(spec.Physical)] = spec.Physical
			if spec.Serve && c.aliases[spec.Alias] == "" {
				c.point(spec.Alias, spec.Physical)
			}
		}
		index = &p.Index
	})
	return index, err
}

func (c *client) Finish(ctx context.Context, name string) error {
	there := false
	err := c.ask(ctx, "Finish", func() { there = c.indexes[name] != nil })
	if err == nil && !there {
		err = errors.New("there is no index " + name)
	}
	return err
}

func (c *client) Amend(ctx context.Context, _ string, _, _ sinks.IndexSpec) (string, error) {
	return "the simulated sink amends nothing", c.ask(ctx, "Amend", func() {})
}

func (c *client) Merge(ctx context.Context, _ string) (string, error) {
	return "", c.ask(ctx, "Merge", func() {})
}

func (c *client) Swap(ctx context.Context, alias, name string) error {
	if err := c.Finish(ctx, name); err != nil {
		return err
	}
	return c.ask(ctx, "Swap", func() {
		if c.indexes[name] != nil {
			c.point(alias, name)
		}
	})
}

// point points an alias to an index, in which no reader may see a document that is older than it was; an outdated one
// may follow another.
func (c *cluster) point(alias, name string) {
	was, now := c.indexes[c.aliases[alias]], c.indexes[name]
	c.aliases[alias] = name
	c.tell("    %s leads to %s", alias, name)
	if was == nil || was == now || now.Alias != alias {
		return
	}
	c.past = nil // one put back from before has the alias lead to the index that was replaced, for as long as that is kept
	ids := maps.Clone(was.documents)
	maps.Copy(ids, now.documents)
	for id := range ids {
		old := was.documents[id]
		moment, ok := c.shown(now.view, alias+"/"+id, now.documents[id].body, old.moment)
		if !ok && !(c.outdated(was) && c.outdated(now)) {
			c.fail("document %s of %s is older in %s than it was in %s: %q, and %q", id, alias, name, was.Physical, now.documents[id].body, old.body)
		}
		if d, there := now.documents[id]; there {
			d.moment = max(d.moment, moment)
			now.documents[id] = d
		}
	}
}

func (c *client) View(ctx context.Context, name string, of []sinks.Document, each func(n int, d *sinks.Document)) error {
	var found []*sinks.Document
	err := c.ask(ctx, fmt.Sprintf("View %s/%s", name, of[0].ID), func() {
		for _, wanted := range of {
			found = append(found, c.document(name, string(wanted.ID)))
		}
	})
	if err != nil {
		return err
	}
	for n, d := range found {
		each(n, d)
	}
	return nil
}

// document is one of a physical index; nil: it is not there.
func (c *cluster) document(name, id string) *sinks.Document {
	p := c.indexes[name]
	if p == nil || p.documents[id].body == "" {
		return nil
	}
	return &sinks.Document{ID: []byte(id), Version: p.documents[id].version, Body: []byte(p.documents[id].body)}
}

var _ sinks.Viewer = (*client)(nil)

// Listed has pages of three documents. A place is the id of the last one.
func (c *client) Listed(ctx context.Context, name, at string) (docs []sinks.Document, next string, err error) {
	const page = 3
	err = c.ask(ctx, "Listed "+name, func() {
		p := c.indexes[name]
		if p == nil {
			return
		}
		for _, id := range slices.Sorted(maps.Keys(p.documents)) {
			d := c.document(name, id)
			switch {
			case d == nil || at != "" && id <= at:
			case len(docs) == page:
				next = string(docs[page-1].ID)
				return
			default:
				docs = append(docs, sinks.Document{ID: d.ID, Version: d.Version})
			}
		}
	})
	return docs, next, err
}

func (c *client) Refusals(ctx context.Context, _ string, _ func(id string)) error {
	return c.ask(ctx, "Refusals", func() {})
}

func (c *client) Shelve(ctx context.Context, _ string) error { return c.ask(ctx, "Shelve", func() {}) }

func (c *client) Drop(ctx context.Context, name string) error {
	return c.ask(ctx, "Drop", func() { c.drop(name) })
}

func (c *cluster) drop(name string) {
	delete(c.indexes, name)
	maps.DeleteFunc(c.aliases, func(_, to string) bool { return to == name })
}

func (c *client) Lacking(ctx context.Context, _, _, _ string, _ func([]sinks.Document, string) error) error {
	return c.ask(ctx, "Lacking", func() {})
}

func (c *client) LoadCheckpoint(ctx context.Context, name string) (data []byte, token sinks.Token, err error) {
	err = c.ask(ctx, "LoadCheckpoint", func() { data, token = c.checkpoints[name].data, c.checkpoints[name].token })
	return data, token, err
}

func (c *client) SaveCheckpoint(ctx context.Context, name string, data []byte, token sinks.Token) (now sinks.Token, err error) {
	late := false
	err = c.ask(ctx, "SaveCheckpoint", func() {
		if late = c.faulty(60, "late checkpoint"); late {
			c.late("checkpoint", func() { c.save(name, data, token) })
		} else {
			now = c.save(name, data, token)
		}
	})
	switch {
	case err == nil && late:
		err = errAnswer
	case err == nil && now == "":
		err = sinks.ErrConflict
	case err == nil:
		c.mu.Lock()
		c.answered++
		c.mu.Unlock()
	}
	return now, err
}

// save returns no token where there is another checkpoint by now.
func (c *cluster) save(name string, data []byte, token sinks.Token) sinks.Token {
	if c.checkpoints[name].token != token {
		return ""
	}
	now := sinks.Token(c.number())
	c.checkpoints[name] = saved{data, now}
	c.past = append(c.past, c.checkpoints[name])
	return now
}

func (c *client) RemoveCheckpoint(ctx context.Context, name string) error {
	return c.ask(ctx, "RemoveCheckpoint", func() { delete(c.checkpoints, name) })
}
