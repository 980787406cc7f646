package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"haystream/internal/backoff"
	"haystream/mapping"
	"haystream/replicator/config"
	"haystream/replicator/verify"
	"haystream/replicator/web"
)

// VerifyOptions say what Verify compares.
type VerifyOptions struct {
	verify.Options
	Indexes []string // all where there are none
	JSON    bool
}

// Verify has the running daemon compare indexes with their rows, one after the other, and prints what it has
// found. It is an error that there was a difference, also where it was repaired.
func Verify(ctx context.Context, cfg *config.Config, options VerifyOptions, out, progress io.Writer) error {
	names, err := findIndexes(cfg, options.Indexes)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		if names = aliasesOfRows(cfg); len(names) == 0 {
			fmt.Fprintln(progress, "nothing to verify: all indexes are of events, which are in no table")
		}
	}
	d, err := runningDaemon(cfg.HTTP)
	if err != nil {
		return err
	}
	reports := []verify.Report{}
	var found, left int64
	var failed []string
	for _, name := range names {
		r, err := d.verify(ctx, name, options.Options, progress)
		if err != nil {
			return err
		}
		reports = append(reports, r)
		all, still := r.Wrong()
		found, left = found+all, left+still
		if r.State == verify.Failed {
			failed = append(failed, fmt.Sprintf("index %s could not be verified: %s", r.Index, r.Reason))
		}
		if !options.JSON {
			if err := printReport(out, &r); err != nil {
				return err
			}
		}
	}
	if options.JSON {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(reports); err != nil {
			return err
		}
	}
	switch {
	case len(failed) > 0:
		return errors.New(strings.Join(failed, "\n"))
	case found > 0 && !options.Repair:
		return fmt.Errorf("%s found; --repair mends them", count(int(found), "difference", "differences"))
	case left > 0:
		return fmt.Errorf("%s found, of which %d could not be repaired", count(int(found), "difference", "differences"), left)
	case found > 0:
		return fmt.Errorf("%s found and repaired", count(int(found), "difference", "differences"))
	}
	return nil
}

// aliasesOfRows are those of the indexes that there are rows to compare with.
func aliasesOfRows(cfg *config.Config) []string {
	var set mapping.Set
	if part := cfg.Part(false); part != nil {
		set = part.Set()
	}
	return set.Aliases()
}

// verify has one index verified, and returns what was found.
func (d *daemon) verify(ctx context.Context, name string, o verify.Options, progress io.Writer) (r verify.Report, err error) {
	path, query := "/indexes/"+url.PathEscape(name)+"/verify", url.Values{}
	if o.Repair {
		query.Set("repair", "true")
	}
	if o.Rate > 0 {
		query.Set("rate", fmt.Sprint(o.Rate))
	}
	if o.Samples() {
		query.Set("sample", fmt.Sprint(o.Sample))
	}
	if err := d.ask(ctx, http.MethodPost, path+"?"+query.Encode(), nil, &r); err != nil {
		return r, err
	}
	answered, told := time.Now(), time.Now()
	for !r.Over() {
		_ = backoff.Pause(ctx, waitPoll/5) // ctx is looked at below
		var now verify.Report
		switch err := d.ask(ctx, http.MethodGet, path, nil, &now); {
		case ctx.Err() != nil:
			return r, fmt.Errorf("%w: the daemon goes on to verify index %s, and /status has what it finds", errInterrupted, r.Index)
		case err == nil:
			r, answered = now, time.Now()
		case !errors.Is(err, errNoDaemon) || time.Since(answered) > waitGone:
			return r, fmt.Errorf("%w; the index is verified when it runs", err)
		}
		if time.Since(told) > waitTells && !r.Over() {
			told = time.Now()
			var st web.Status
			if err := d.ask(ctx, http.MethodGet, "/status", nil, &st); err == nil && st.State != "running" {
				fmt.Fprintf(progress, "%s: %s\n", r.Index, st.Reason)
				continue
			}
			found, _ := r.Wrong()
			fmt.Fprintf(progress, "%s: %s; %d differences so far\n", r.Index, r.Step, found)
		}
	}
	return r, nil
}

// printReport prints a report for people.
func printReport(out io.Writer, r *verify.Report) error {
	var b strings.Builder
	line := func(what string, unit string, c verify.Counts) {
		fmt.Fprintf(&b, "%s: %d %s compared: %d missing, %d extra, %d different", what, c.Compared, unit, c.Missing, c.Extra, c.Different)
		if r.Repair {
			fmt.Fprintf(&b, ", %d repaired", c.Repaired)
		}
		b.WriteByte('\n')
	}
	line(r.Index, "documents", r.Documents)
	for _, table := range slices.Sorted(maps.Keys(r.Stored)) {
		line("  stored table "+table, "rows", r.Stored[table])
	}
	for _, d := range r.Differences {
		fmt.Fprintf(&b, "  %-9s %s", d.Kind, d.ID)
		if d.Table != "" {
			fmt.Fprintf(&b, " of stored table %s", d.Table)
		}
		if len(d.Fields) > 0 {
			fmt.Fprintf(&b, ": %s", strings.Join(d.Fields, ", "))
		}
		if d.Repaired {
			b.WriteString(" (repaired)")
		}
		b.WriteByte('\n')
	}
	if found, _ := r.Wrong(); found > int64(len(r.Differences)) {
		fmt.Fprintf(&b, "  … and %d more\n", found-int64(len(r.Differences)))
	}
	if r.Refused > 0 {
		fmt.Fprintf(&b, "  dead letters: %s, see `haystream dead-letters list`\n", count(int(r.Refused), "document", "documents"))
	}
	if r.Unsettled > 0 {
		fmt.Fprintf(&b, "  kept changing while it was compared: %s\n", count(int(r.Unsettled), "document", "documents"))
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "  note: %s\n", note)
	}
	_, err := io.WriteString(out, b.String())
	return err
}
