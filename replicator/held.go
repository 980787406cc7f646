package replicator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"haystream/internal/preflight"
	"haystream/replicator/builds"
	"haystream/replicator/config"
	"haystream/replicator/inspect"
	"haystream/sinks"
)

// A table or a grant that is gone, or an index that the sink does not take, holds
// up the indexes that depend on it, and only those. The others go on; the held
// ones stay as they are, and are built anew once they can be again. A definition
// that is new, or was edited, and does not fit the tables is refused with all others instead.

// fit compiles the definitions and looks at both ends with what they need,
// again and again with fewer where some must be held up. mayHold: the same
// definitions have worked before.
func (d *daemon) fit(ctx context.Context, in *inspect.Inspection, mayHold bool) error {
	in.HoldNothing(d.cfg.Set())
	if err := d.holdBlocked(ctx, in); err != nil {
		return err
	}
	var all []preflight.Finding
	for {
		in.Findings, in.Plan = nil, nil
		in.Compile(ctx, d.source, d.file)
		if in.Plan != nil {
			if err := errors.Join(in.CheckSource(ctx, d.source), in.CheckSink(ctx, d.sink)); err != nil {
				return err
			}
		}
		errs := d.unbearable(in, mayHold)
		if len(errs) == 0 && !in.HoldBroken() {
			return d.grace(in.Held)
		}
		told, ok := in.Hold(errs, mayHold)
		if !ok {
			return &inspect.Refusal{Findings: errs, Final: !d.ran}
		}
		if all = append(all, told...); len(in.Set.Indexes) == 0 {
			return &inspect.Refusal{Findings: all, Final: !mayHold}
		}
	}
}

// holdGrace is how long it is waited for what is gone before an index is held up:
// a table may be made anew by several statements.
const holdGrace = 2 * time.Second

// grace returns an error for a while where indexes are to be held up that were not before.
func (d *daemon) grace(now builds.Held) error {
	var gone []string
	for _, alias := range slices.Sorted(maps.Keys(now)) {
		if !d.status.holds(alias) {
			gone = append(gone, now[alias])
		}
	}
	switch {
	case len(gone) == 0:
		d.gone = time.Time{}
		return nil
	case !d.ran:
		return nil
	case d.gone.IsZero():
		d.gone = time.Now()
	}
	if time.Since(d.gone) > holdGrace {
		return nil
	}
	return fmt.Errorf("%w: %s", errAway, strings.Join(gone, "; "))
}

// errAway says that something is away which an index needs.
var errAway = errors.New("wait for what may come back")

// definitions are a mark of all that the configuration defines.
func definitions(cfg *config.Config) string {
	text, err := yaml.Marshal(cfg.Set())
	if err != nil {
		return "" // never equal to what was saved
	}
	if len(cfg.Widgets) > 0 {
		shown, err := yaml.Marshal(cfg.Widgets)
		if err != nil {
			return ""
		}
		text = append(text, shown...)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// block notes which indexes are to be held up.
func (d *daemon) block(ctx context.Context, e *builds.BlockedError) answer {
	d.status.holdToo(e.Why)
	return d.amend(ctx, func(cp *builds.Checkpoint) { cp.Block(e.Indexes) })
}

// holdBlocked takes out the indexes that still take no documents, unless they are all that there are.
func (d *daemon) holdBlocked(ctx context.Context, in *inspect.Inspection) error {
	for alias, b := range in.Blocked {
		why, err := d.sink.Takes(ctx, &sinks.Target{Index: alias, Physical: b.Physical, WriteAlias: sinks.WriteAlias(b.Physical), Pipeline: b.Pipeline})
		if err != nil {
			return fmt.Errorf("ask whether index %s takes documents: %w", alias, err)
		}
		if why != "" {
			in.HoldAlias(alias, preflight.Finding{Level: preflight.Error, Subject: "index " + alias, Text: why}.String())
		}
	}
	if len(in.Blocked) > 0 && len(in.Set.Indexes) == 0 {
		in.Set.Indexes, in.Held = maps.Clone(d.cfg.Indexes), builds.Held{}
	}
	return nil
}

// errMended ends a session because what held up an index does so no more.
const errMended = replan("what held up an index may be mended; planning anew")

// heldEvery is how often it is looked whether indexes are still held up.
const heldEvery = 5 * time.Second

// checkHeld returns errMended when other indexes than before would be held up now.
// was is what was held up before the sink was asked to make indexes: those that
// it refused have a look of their own, Indexes.Retry. It is called by the checkpoint step, often.
func (d *daemon) checkHeld(ctx context.Context, before *inspect.Inspection, was builds.Held) error {
	if len(was) == 0 || time.Since(d.looked) < heldEvery {
		return nil
	}
	d.looked = time.Now()
	in := &inspect.Inspection{Sink: before.Sink, Homes: before.Homes, Blocked: before.Blocked, Adopts: before.Adopts}
	if err := in.ReadSource(ctx, d.source); err != nil {
		return nil //nolint:nilerr // a source that is away ends the stream, which says so
	}
	if err := d.fit(ctx, in, true); err != nil || maps.EqualFunc(was, in.Held, func(string, string) bool { return true }) {
		return nil //nolint:nilerr // as long as nothing fits, nothing is mended
	}
	return errMended
}

// unbearable leaves out what a daemon that has run waits for: the lookout says so. It also
// leaves out widgets that have fitted before: they say themselves what they lack.
// known: another one has run with the same definitions.
func (d *daemon) unbearable(in *inspect.Inspection, known bool) []preflight.Finding {
	return slices.DeleteFunc(preflight.Errors(in.Findings), func(f preflight.Finding) bool {
		return f.Waits && (d.ran || known && !in.Defines(f.Subject)) || known && strings.HasPrefix(f.Path, "widgets.")
	})
}
