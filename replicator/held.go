package replicator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"haystream/internal/preflight"
	"haystream/mapping"
	"haystream/replicator/builds"
	"haystream/sinks"
)

// A table or a grant that is gone, or an index that the sink does not take, holds
// up the indexes that depend on it, and only those. The others go on; the held
// ones stay as they are, and are built anew once they can be again. A definition
// that is new, or was edited, and does not fit the tables is refused with all others instead.

// fit compiles the definitions and looks at both ends with what they need,
// again and again with fewer where some must be held up. mayHold: the same
// definitions have worked before.
func (d *daemon) fit(ctx context.Context, in *inspection, mayHold bool) error {
	in.set, in.held = d.cfg.Set(), builds.Held{}
	in.set.Indexes, in.set.Tables = maps.Clone(in.set.Indexes), maps.Clone(in.set.Tables)
	if err := d.holdBlocked(ctx, in); err != nil {
		return err
	}
	var all []preflight.Finding
	for {
		in.findings, in.plan = nil, nil
		in.compile(ctx, d.source, d.file)
		if in.plan != nil {
			if err := errors.Join(in.checkSource(ctx, d.source), in.checkSink(ctx, d.sink)); err != nil {
				return err
			}
		}
		errs := d.unbearable(in, mayHold)
		switch {
		case len(errs) == 0 && !in.holdBroken():
			return d.grace(in.held)
		case len(errs) == 0:
		case !in.hold(errs, mayHold):
			return &refusal{findings: errs, final: !d.ran}
		}
		if all = append(all, errs...); len(in.set.Indexes) == 0 {
			return &refusal{findings: all, final: !mayHold}
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

// hold takes out what the errors are about, and reports whether that was all of
// them. known: the definitions have worked before, so that they are not at fault.
func (in *inspection) hold(errs []preflight.Finding, known bool) bool {
	for _, f := range errs {
		if !known && (f.Path != "" || f.Waits) || !in.holdFor(f) {
			return false
		}
	}
	return true
}

// holdFor takes out what one error is about: a definition, all that use a table,
// or what the configuration says of a table, which holdBroken follows up.
func (in *inspection) holdFor(f preflight.Finding) bool {
	if name := longest(in.set.Indexes, "indexes.", f.Path); name != "" {
		return in.holdAlias(in.set.Alias(name), f)
	}
	if name := longest(in.set.Tables, "tables.", f.Path); name != "" {
		in.broken = append(in.broken, in.takeOut(name, f))
		return true
	}
	if alias, ok := strings.CutPrefix(f.Subject, "index "); ok {
		return in.holdAlias(alias, f)
	}
	table, ok := strings.CutPrefix(f.Subject, "table ")
	if !ok || in.plan == nil {
		return false
	}
	return in.holdUsers(table, f)
}

// holdUsers takes out every index that uses a table.
func (in *inspection) holdUsers(table string, f preflight.Finding) (found bool) {
	for _, index := range in.plan.Sets[0] {
		if index.Uses[table] != nil {
			found = in.holdAlias(index.Alias, f) || found
		}
	}
	return found
}

// A broken is something that the configuration says of a table and that does not fit it any more.
type broken struct {
	table    string // as the configuration names it
	relation string // that leads nowhere; empty: it is about the table as a whole
	preflight.Finding
}

// takeOut takes a relation that leads nowhere out of what the configuration says
// of a table, or all that it says.
func (in *inspection) takeOut(table string, f preflight.Finding) broken {
	config := in.set.Tables[table]
	if config != nil {
		if relation := longest(config.Relations, "tables."+table+".relations.", f.Path); relation != "" {
			less := *config
			less.Relations = maps.Clone(config.Relations)
			delete(less.Relations, relation)
			in.set.Tables[table] = &less
			return broken{table, relation, f}
		}
	}
	delete(in.set.Tables, table)
	return broken{table, "", f}
}

// holdBroken takes out what uses a table of which the configuration says something
// that does not fit any more; without that it would mean something else. Where that is
// a relation, it is what names it, or may.
func (in *inspection) holdBroken() (found bool) {
	for _, b := range in.broken {
		for _, t := range in.catalog {
			if t.Name != b.table && t.String() != b.table {
				continue
			}
			for _, index := range in.plan.Sets[0] {
				if index.Uses[t.String()] != nil && in.names(index, b) {
					found = in.holdAlias(index.Alias, b.Finding) || found
				}
			}
		}
	}
	return found
}

// names reports whether a definition of the index, or a column that is computed
// for any, has a relation's name in it.
func (in *inspection) names(index *mapping.Index, b broken) bool {
	word := regexp.MustCompile(`\b` + regexp.QuoteMeta(b.relation) + `\b`) // of an empty name it finds some in any text
	for _, name := range index.Names {
		if text, err := yaml.Marshal(in.set.Indexes[name]); err != nil || word.Match(text) {
			return true
		}
	}
	for _, config := range in.set.Tables {
		if config == nil {
			continue
		}
		for _, text := range config.Computed {
			if word.MatchString(text) {
				return true
			}
		}
	}
	return false
}

// holdAlias takes out all definitions of an alias; false where there is none.
func (in *inspection) holdAlias(alias string, f preflight.Finding) (found bool) {
	for name := range in.set.Indexes {
		if in.set.Alias(name) == alias {
			found = true
			delete(in.set.Indexes, name)
		}
	}
	switch before := in.held[alias]; {
	case before != "":
		in.held[alias] = before + "\n" + f.String()
		return true
	case !found:
		return false
	}
	in.held[alias] = f.String()
	for _, b := range in.broken {
		if text := b.String(); f.Path != "" && !strings.Contains(in.held[alias], text) {
			in.held[alias] += "\n" + text // from which the other may follow
		}
	}
	return true
}

// longest is the longest name with which a path below a section begins.
func longest[T any](names map[string]T, section, path string) (found string) {
	rest, ok := strings.CutPrefix(path, section)
	for name := range names {
		if ok && len(name) > len(found) && (rest == name || strings.HasPrefix(rest, name+".")) {
			found = name
		}
	}
	return found
}

// definitions are a mark of all that the configuration defines.
func definitions(set mapping.Set) string {
	text, err := yaml.Marshal(set)
	if err != nil {
		return "" // never equal to what was saved
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
func (d *daemon) holdBlocked(ctx context.Context, in *inspection) error {
	for alias, b := range in.blocked {
		why, err := d.sink.Takes(ctx, &sinks.Target{Index: alias, Physical: b.Physical, WriteAlias: sinks.WriteAlias(b.Physical), Pipeline: b.Pipeline})
		if err != nil {
			return fmt.Errorf("ask whether index %s takes documents: %w", alias, err)
		}
		if why != "" {
			in.holdAlias(alias, preflight.Finding{Level: preflight.Error, Subject: "index " + alias, Text: why})
		}
	}
	if len(in.blocked) > 0 && len(in.set.Indexes) == 0 {
		in.set.Indexes, in.held = maps.Clone(d.cfg.Indexes), builds.Held{}
	}
	return nil
}

// errMended ends a session because what held up an index does so no more.
const errMended = replan("what held up an index may be mended; planning anew")

// heldEvery is how often it is looked whether indexes are still held up.
const heldEvery = 5 * time.Second

// checkHeld returns errMended when other indexes than before would be held up now.
// was is what was held up before the sink was asked to make indexes: those that
// it refused have a look of their own, retry. It is called by the checkpoint step, often.
func (d *daemon) checkHeld(ctx context.Context, before *inspection, was builds.Held) error {
	if len(was) == 0 || time.Since(d.looked) < heldEvery {
		return nil
	}
	d.looked = time.Now()
	in := &inspection{sink: before.sink, homes: before.homes, blocked: before.blocked}
	if err := in.readSource(ctx, d.source); err != nil {
		return nil //nolint:nilerr // the stream will tell
	}
	if err := d.fit(ctx, in, true); err != nil || maps.EqualFunc(was, in.held, func(string, string) bool { return true }) {
		return nil //nolint:nilerr // nothing is mended
	}
	return errMended
}

// unbearable leaves out what a daemon that has run waits for: the lookout says so.
// known: another one has run with the same definitions.
func (d *daemon) unbearable(in *inspection, known bool) []preflight.Finding {
	return slices.DeleteFunc(preflight.Errors(in.findings), func(f preflight.Finding) bool {
		return f.Waits && (d.ran || known && !in.defines(f.Subject))
	})
}

// defines reports whether the subject of a finding is an alias, which can be held up.
func (in *inspection) defines(subject string) bool {
	alias, ok := strings.CutPrefix(subject, "index ")
	return ok && slices.ContainsFunc(slices.Collect(maps.Keys(in.set.Indexes)), func(name string) bool { return in.set.Alias(name) == alias })
}
