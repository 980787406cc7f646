package replicator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"haystream/internal/conf"
	"haystream/replicator/builds"
	"haystream/replicator/web"
	"haystream/sinks"
)

// Pause implements web.Operator.
func (p *process) Pause(ctx context.Context) error {
	return p.order(ctx, p.daemons, func(cp *builds.Checkpoint) error {
		if cp.Paused.IsZero() {
			cp.Paused = time.Now().UTC().Truncate(time.Second)
		}
		return nil
	})
}

// Resume implements web.Operator.
func (p *process) Resume(ctx context.Context) error {
	var paused []*daemon
	for _, d := range p.daemons {
		if d.status.mayBePaused() {
			paused = append(paused, d)
		}
	}
	return p.order(ctx, paused, func(cp *builds.Checkpoint) error {
		cp.Paused = time.Time{}
		return nil
	})
}

// Reindex implements web.Operator.
func (p *process) Reindex(ctx context.Context, name string, merge bool) (builds.Reindexing, error) {
	d, alias, err := p.index(name)
	if err != nil {
		return builds.Reindexing{}, err
	}
	set := d.cfg.Set()
	for definition, def := range set.Indexes {
		if set.Alias(definition) == alias && def.Appends() {
			why := "has mode: append: it may have documents whose rows are gone, and those"
			if def.Events != nil {
				why = "is of events, which are in no table and"
			}
			return builds.Reindexing{}, &web.RefusedError{Status: http.StatusConflict, Text: fmt.Sprintf("index %s %s cannot be read again; it is not built anew", alias, why)}
		}
	}
	var asked builds.Reindexing // read only once the order is carried out
	err = d.order(ctx, func(cp *builds.Checkpoint) (err error) {
		if asked, err = cp.Reindex(alias, merge); err != nil {
			return &web.RefusedError{Status: http.StatusConflict, Text: err.Error()}
		}
		return nil
	})
	if err != nil {
		return builds.Reindexing{}, err
	}
	return asked, nil
}

// letters is the sink as far as it has dead letters for people; an error where it has not.
func (p *process) letters(d *daemon) (sinks.Letters, error) {
	if letters, ok := d.sink.(sinks.Letters); ok {
		return letters, nil
	}
	return nil, &web.RefusedError{Status: http.StatusNotImplemented, Text: fmt.Sprintf("the sink %s keeps dead letters in a file of state.path, for people to read", p.cfg.Sink.Name())}
}

// DeadLetters implements web.Operator.
func (p *process) DeadLetters(ctx context.Context, index string, most int, after string) (page sinks.LettersPage, err error) {
	if index != "" {
		if _, index, err = p.index(index); err != nil {
			return page, err
		}
	}
	letters, err := p.letters(p.daemons[0])
	if err != nil {
		return page, err
	}
	page, err = letters.Letters(ctx, index, most, after)
	if errors.Is(err, sinks.ErrPlace) {
		err = &web.RefusedError{Status: http.StatusBadRequest, Text: err.Error()}
	}
	return page, err
}

// DeadLetter implements web.Operator.
func (p *process) DeadLetter(ctx context.Context, key string) (*sinks.Refused, error) {
	letters, err := p.letters(p.daemons[0])
	if err != nil {
		return nil, err
	}
	l, err := letters.Letter(ctx, key)
	if err == nil && l == nil {
		err = &web.RefusedError{Status: http.StatusNotFound, Text: fmt.Sprintf("there is no dead letter %q: it was cleared since, or never was", key)}
	}
	return l, err
}

// Replay implements web.Operator.
func (p *process) Replay(ctx context.Context, key string) (web.Replayed, error) {
	l, err := p.DeadLetter(ctx, key)
	if err != nil {
		return web.Replayed{}, err
	}
	d, _, err := p.index(l.Index)
	if err != nil {
		return web.Replayed{}, err
	}
	if err := d.status.idle(); err != nil {
		return web.Replayed{}, err
	}
	out, err := d.replay(ctx, l)
	if err == nil && out.Result == web.ReplayRefused {
		if again, err := p.DeadLetter(ctx, key); err == nil {
			out.Reason = again.Reason
		}
	}
	return out, err
}

// DropDeadLetter implements web.Operator. Each daemon's sink knows which are open, but not of a daemon
// that has the lease elsewhere.
func (p *process) DropDeadLetter(ctx context.Context, key string) error {
	for _, d := range p.daemons {
		if err := d.status.cannot(); err != nil {
			return err
		}
	}
	l, err := p.DeadLetter(ctx, key)
	if err != nil {
		return err
	}
	for _, d := range p.daemons {
		letters, err := p.letters(d)
		if err != nil {
			return err
		}
		dropped, err := letters.DropLetter(ctx, l)
		switch {
		case err != nil:
			return err
		case !dropped:
			return &web.RefusedError{Status: http.StatusConflict, Text: fmt.Sprintf("the document of dead letter %s was refused again since; look at it anew", key)}
		}
	}
	p.daemons[0].log.Warn().Str("index", l.Index).Str("doc_id", l.ID).Int64("version", l.Version).Msg("dead letter dropped, as somebody has asked: the index goes without this state of the document")
	return nil
}

// index finds who makes an index, by the name of a definition or by the alias.
func (p *process) index(name string) (*daemon, string, error) {
	var names []string
	for _, d := range p.daemons {
		set := d.cfg.Set()
		if alias, ok := set.Find(name); ok {
			return d, alias, nil
		}
		names = append(names, slices.Sorted(maps.Keys(set.Indexes))...)
	}
	return nil, "", &web.RefusedError{Status: http.StatusNotFound, Text: fmt.Sprintf("there is no index %q%s", name, conf.DidYouMean(name, names))}
}

// order has the checkpoints of daemons changed, each for itself.
func (p *process) order(ctx context.Context, daemons []*daemon, change func(*builds.Checkpoint) error) error {
	errs := make([]error, len(daemons))
	var all sync.WaitGroup
	for i, d := range daemons {
		all.Go(func() {
			if err := d.order(ctx, change); err != nil {
				errs[i] = fmt.Errorf("%s%w", p.label(d), err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
