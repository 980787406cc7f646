package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"haystream/replicator/config"
	"haystream/replicator/web"
	"haystream/sinks"
)

// DeadLettersOptions say which dead letters are listed.
type DeadLettersOptions struct {
	Index string // of one index only; empty for all
	Limit int
	After string // the place that an earlier list has named
	JSON  bool   // the daemon's answer as it is
}

// DeadLetters lists the dead letters that the running daemon knows of, the latest first.
func DeadLetters(ctx context.Context, cfg *config.Config, options DeadLettersOptions, out io.Writer) error {
	if options.Index != "" {
		if _, err := findIndex(cfg, options.Index); err != nil {
			return err
		}
	}
	d, err := runningDaemon(cfg.HTTP)
	if err != nil {
		return err
	}
	page, answer, err := d.letters(ctx, options)
	if err != nil {
		return err
	}
	if options.JSON {
		_, err := out.Write(answer)
		return err
	}
	if page.Total == 0 {
		_, err := io.WriteString(out, "no dead letters\n")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tSINCE\tREASON")
	for i := range page.Letters {
		l := &page.Letters[i]
		fmt.Fprintf(w, "%s\t%s\t%s: %s\n", l.Key, l.Time.Format(time.RFC3339), l.Type, l.Reason)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print dead letters: %w", err)
	}
	if page.Next != "" {
		_, err = fmt.Fprintf(out, "%d of %d; the next with --after %s\n", len(page.Letters), page.Total, page.Next)
	}
	return err
}

// letters asks for a page.
func (d *daemon) letters(ctx context.Context, options DeadLettersOptions) (page sinks.LettersPage, answer []byte, err error) {
	query := url.Values{"limit": {strconv.Itoa(options.Limit)}, "index": {options.Index}, "after": {options.After}}
	if answer, err = d.answer(ctx, http.MethodGet, "/dead-letters?"+query.Encode(), nil); err != nil {
		return page, nil, err
	}
	if err := json.Unmarshal(answer, &page); err != nil {
		return page, nil, fmt.Errorf("read the daemon's answer: %w", err)
	}
	return page, answer, nil
}

// ShowDeadLetter prints one with its document.
func ShowDeadLetter(ctx context.Context, cfg *config.Config, key string, out io.Writer) error {
	d, err := runningDaemon(cfg.HTTP)
	if err != nil {
		return err
	}
	var l struct {
		sinks.Refused
		Document any `json:"document,omitempty"`
	}
	if err := d.ask(ctx, http.MethodGet, "/dead-letters/"+url.PathEscape(key), nil, &l.Refused); err != nil {
		return err
	}
	if l.Body != "" {
		l.Document = l.Body
		if json.Valid([]byte(l.Body)) {
			l.Document = json.RawMessage(l.Body)
		}
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(l)
}

// WhichDeadLetters are those that something is done about: some by their keys, or all of
// an index, or all where neither is given.
type WhichDeadLetters struct {
	Keys  []string
	Index string
}

// ReplayDeadLetters has documents sent again, and fails where one is refused again.
func ReplayDeadLetters(ctx context.Context, cfg *config.Config, which WhichDeadLetters, out io.Writer) error {
	return which.each(ctx, cfg, "replay", out)
}

// DropDeadLetters has dead letters deleted. Their documents stay as they are in the index.
func DropDeadLetters(ctx context.Context, cfg *config.Config, which WhichDeadLetters, out io.Writer) error {
	return which.each(ctx, cfg, "drop", out)
}

// lettersAtOnce is how many are listed at once to do something about them.
const lettersAtOnce = 500

// each has something done about each dead letter, and prints what has become of it. Where all are
// meant, one that this fails for holds up no other.
func (w WhichDeadLetters) each(ctx context.Context, cfg *config.Config, what string, out io.Writer) error {
	if w.Index != "" {
		if _, err := findIndex(cfg, w.Index); err != nil {
			return err
		}
	}
	d, err := runningDaemon(cfg.HTTP)
	if err != nil {
		return err
	}
	keys := w.Keys
	for after, more := "", len(keys) == 0; more; more = after != "" { // those that come meanwhile are not meant
		page, _, err := d.letters(ctx, DeadLettersOptions{Index: w.Index, Limit: lettersAtOnce, After: after})
		if err != nil {
			return err
		}
		for i := range page.Letters {
			keys = append(keys, page.Letters[i].Key)
		}
		after = page.Next
	}
	failed := 0
	for _, key := range keys {
		r := web.Replayed{Key: key}
		err := d.ask(ctx, http.MethodPost, "/dead-letters/"+url.PathEscape(key)+"/"+what, nil, &r)
		switch {
		case errors.Is(err, errNoDaemon), ctx.Err() != nil:
			return err
		case err != nil:
			r.Result = err.Error()
		case r.Reason != "":
			r.Result += ": " + r.Reason
		}
		if err != nil || r.Reason != "" {
			failed++
		}
		if _, err := fmt.Fprintf(out, "%s %s\n", r.Key, r.Result); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%s of %d of %d dead letters failed", what, failed, len(keys))
	}
	return nil
}
