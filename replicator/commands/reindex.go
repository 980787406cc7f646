package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"haystream/internal/backoff"
	"haystream/replicator/builds"
	"haystream/replicator/config"
	"haystream/replicator/web"
)

// ReindexOptions say what Reindex builds anew.
type ReindexOptions struct {
	Indexes    []string
	Wait       bool // until the new ones serve
	ForceMerge bool
}

// Reindex has the running daemon build indexes anew beside those that serve.
func Reindex(ctx context.Context, cfg *config.Config, options ReindexOptions, out io.Writer) error {
	names, err := findIndexes(cfg, options.Indexes)
	if err != nil {
		return err
	}
	d, err := runningDaemon(cfg.HTTP)
	if err != nil {
		return err
	}
	var asked []builds.Reindexing
	for _, name := range names {
		var r builds.Reindexing
		path := "/indexes/" + url.PathEscape(name) + "/reindex"
		if options.ForceMerge {
			path += "?force_merge=true"
		}
		if err := d.ask(ctx, http.MethodPost, path, nil, &r); err != nil {
			return err
		}
		text := "is built anew beside " + r.Replaces
		switch {
		case r.Replaces == "":
			text = "is being loaded already: " + r.Building
		case r.Building != "":
			text = "is being built anew already: " + r.Building + " beside " + r.Replaces
		}
		if _, err := fmt.Fprintf(out, "%s %s\n", r.Index, text); err != nil {
			return err
		}
		asked = append(asked, r)
	}
	if !options.Wait {
		return nil
	}
	return d.awaitIndexes(ctx, asked, out)
}

const (
	waitPoll  = 500 * time.Millisecond
	waitTells = 10 * time.Second // how often it is said how far it is
	waitGone  = time.Minute      // how long it is waited for a daemon that does not answer
)

// awaitIndexes waits until indexes serve that are built anew, and says how far they are.
func (d *daemon) awaitIndexes(ctx context.Context, left []builds.Reindexing, out io.Writer) error {
	answered, told := time.Now(), time.Now()
	for len(left) > 0 {
		var st web.Status
		err := d.ask(ctx, http.MethodGet, "/status", nil, &st)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%w: the daemon goes on to build what was asked for", errInterrupted)
		case err == nil:
			answered = time.Now()
		case !errors.Is(err, errNoDaemon) || time.Since(answered) > waitGone:
			return fmt.Errorf("%w; the indexes are built on when it runs", err)
		}
		var lines []string
		left = slices.DeleteFunc(left, func(r builds.Reindexing) bool {
			i := slices.IndexFunc(st.Indexes, func(i web.IndexStatus) bool { return i.Alias == r.Index })
			if i < 0 {
				return false
			}
			index := &st.Indexes[i]
			if index.Physical != r.Replaces && index.Building == "" && index.Snapshot.State == "done" {
				lines = append(lines, fmt.Sprintf("%s serves from %s\n", r.Index, index.Physical))
				return true
			}
			if time.Since(told) > waitTells {
				lines = append(lines, fmt.Sprintf("%s %s\n", r.Index, index.Snapshot))
			}
			return false
		})
		if time.Since(told) > waitTells {
			told = time.Now()
			if _, err := d.answer(ctx, http.MethodGet, "/readyz", nil); err != nil {
				lines = append(lines, err.Error()+"\n")
			}
		}
		if _, err := io.WriteString(out, strings.Join(lines, "")); err != nil {
			return err
		}
		if len(left) > 0 {
			_ = backoff.Pause(ctx, waitPoll) // ctx is looked at above
		}
	}
	return nil
}
