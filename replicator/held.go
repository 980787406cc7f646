package replicator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
	"haystream/sources"
)

// A table or a grant that is gone, or an index that the sink does not take, holds
// up the indexes that depend on it, and only those. The others go on; the held
// ones stay as they are, and are built anew once they can be again. A definition
// that is new, or was edited, and does not fit the tables is refused with all others instead.

// A held is why indexes are held up, by alias.
type held map[string]string

// fit compiles the definitions and looks at both ends with what they need,
// again and again with fewer where some must be held up. mayHold: the same
// definitions have worked before.
func (d *daemon) fit(ctx context.Context, in *inspection, mayHold bool) error {
	in.set, in.held, in.broken = d.cfg.set(), held{}, nil
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
		if len(errs) == 0 && !in.holdBroken() {
			return d.grace(in.held)
		}
		told, ok := in.hold(errs, mayHold)
		if !ok {
			return &refusal{findings: errs, final: !d.ran}
		}
		if all = append(all, told...); len(in.set.Indexes) == 0 {
			return &refusal{findings: all, final: !mayHold}
		}
	}
}

// holdGrace is how long it is waited for what is gone before an index is held up:
// a table may be made anew by several statements.
const holdGrace = 2 * time.Second

// grace returns an error for a while where indexes are to be held up that were not before.
func (d *daemon) grace(now held) error {
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

// hold takes out what the errors are about, and returns those that do not follow
// from others; not ok: they are about something else, too. known: the definitions
// have worked before, so that they are not at fault.
func (in *inspection) hold(errs []preflight.Finding, known bool) (told []preflight.Finding, ok bool) {
	why := make([]string, len(errs))
	for i, f := range errs {
		if why[i] = in.cause(f); why[i] == f.String() {
			told = append(told, f)
		}
	}
	for i, f := range errs {
		if !known && (f.Path != "" || f.Waits) || !in.holdFor(f, why[i]) {
			return nil, false
		}
	}
	return told, true
}

// cause is why there is an error: its own text, or that of what was taken out of
// the tables' configuration before and that it names. What follows from nothing was
// told before anything was taken out.
func (in *inspection) cause(f preflight.Finding) string {
	var about any
	if name := longest(in.set.Indexes, "indexes.", f.Path); name != "" {
		about = in.set.Indexes[name]
	} else if name := longest(in.set.Tables, "tables.", f.Path); name != "" {
		about = in.set.Tables[name]
	} else {
		return f.String()
	}
	text := wording(about)
	var named, all []string
	for _, b := range in.broken {
		all = append(all, b.why)
		if b.name != "" && b.named(text) {
			named = append(named, b.why)
		}
	}
	switch {
	case named != nil:
		return strings.Join(named, "\n")
	case all != nil:
		return strings.Join(all, "\n")
	}
	return f.String()
}

// holdFor takes out what one error is about: a definition, all that use a table,
// or what the configuration says of a table, which holdBroken follows up.
func (in *inspection) holdFor(f preflight.Finding, why string) bool {
	if name := longest(in.set.Indexes, "indexes.", f.Path); name != "" {
		return in.holdAlias(in.set.Alias(name), why)
	}
	if name := longest(in.set.Tables, "tables.", f.Path); name != "" {
		in.broken = append(in.broken, broken{name, in.takeOut(name, f.Path), why})
		return true
	}
	if alias, ok := strings.CutPrefix(f.Subject, "index "); ok {
		return in.holdAlias(alias, why)
	}
	table, ok := strings.CutPrefix(f.Subject, "table ")
	if !ok || in.plan == nil {
		return false
	}
	return in.holdUsers(table, why)
}

// holdUsers takes out every index that uses a table.
func (in *inspection) holdUsers(table, why string) (found bool) {
	for _, index := range in.plan.Sets[0] {
		if index.Uses[table] != nil {
			found = in.holdAlias(index.Alias, why) || found
		}
	}
	return found
}

// A broken is something that the configuration says of a table and that does not fit it any more.
type broken struct {
	table string // as the configuration names it
	name  string // of the relation or the computed column; empty: it is about the table as a whole
	why   string
}

// named reports whether its name is in a text; an empty one is in any.
func (b *broken) named(text string) bool {
	return regexp.MustCompile(`\b` + regexp.QuoteMeta(b.name) + `\b`).MatchString(text)
}

// wording is all that a part of the configuration says: settings that are set, names and texts.
func wording(part any) string {
	var text strings.Builder
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			text.WriteString(v + "\n")
		case []any:
			for _, one := range v {
				walk(one)
			}
		case map[string]any:
			for name, one := range v {
				text.WriteString(name + "\n")
				walk(one)
			}
		}
	}
	encoded, err := json.Marshal(part)
	var decoded any
	if err == nil && json.Unmarshal(encoded, &decoded) == nil {
		walk(decoded)
	}
	return text.String()
}

// takeOut takes the relation or the computed column that a path is about out of
// what the configuration says of a table, and returns its name; or all that it says.
func (in *inspection) takeOut(table, path string) (name string) {
	config := in.set.Tables[table]
	if config == nil {
		delete(in.set.Tables, table)
		return ""
	}
	less := *config
	if name = longest(config.Relations, "tables."+table+".relations.", path); name != "" {
		less.Relations = maps.Clone(config.Relations)
		delete(less.Relations, name)
	} else if name = longest(config.Computed, "tables."+table+".computed.", path); name != "" {
		less.Computed = maps.Clone(config.Computed)
		delete(less.Computed, name)
	} else {
		delete(in.set.Tables, table)
		return ""
	}
	in.set.Tables[table] = &less
	return name
}

// holdBroken takes out what uses a table of which the configuration says something
// that does not fit any more; without that it would mean something else. Where that is
// a relation or a computed column, it is what names it, or may.
func (in *inspection) holdBroken() (found bool) {
	for _, b := range in.broken {
		for _, t := range in.catalog {
			if t.Name != b.table && t.String() != b.table {
				continue
			}
			for _, index := range in.plan.Sets[0] {
				if index.Uses[t.String()] != nil && in.names(index, b) {
					found = in.holdAlias(index.Alias, b.why) || found
				}
			}
		}
	}
	return found
}

// names reports whether a definition of the index, or a column that is computed
// for any, has a broken's name in it.
func (in *inspection) names(index *mapping.Index, b broken) bool {
	for _, name := range index.Names {
		if b.named(wording(in.set.Indexes[name])) {
			return true
		}
	}
	for _, config := range in.set.Tables {
		if config == nil {
			continue
		}
		for _, text := range config.Computed {
			if b.named(text) {
				return true
			}
		}
	}
	return false
}

// holdAlias takes out all definitions of an alias, and adds the lines that say why;
// false where there is no such alias.
func (in *inspection) holdAlias(alias, why string) (found bool) {
	for name := range in.set.Indexes {
		if in.set.Alias(name) == alias {
			found = true
			delete(in.set.Indexes, name)
		}
	}
	lines := strings.Split(in.held[alias], "\n")
	if !found && in.held[alias] == "" {
		return false
	}
	for line := range strings.SplitSeq(why, "\n") {
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	in.held[alias] = strings.TrimPrefix(strings.Join(lines, "\n"), "\n")
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

// hold notes which indexes are held up. What they miss meanwhile has to be read
// again.
func (cp *checkpoint) hold(why held) {
	epoch := int64(0)
	for alias, st := range cp.Indexes {
		if why[alias] == "" {
			st.Held, st.Blocked = false, nil
			continue
		}
		if st.Held {
			continue
		}
		if st.Held = true; epoch == 0 {
			epoch = cp.begin()
		}
		cp.markStale(alias, "it was held up", epoch)
		st.Gap = true
	}
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

// errMended ends a session because what held up an index does so no more.
const errMended = replan("what held up an index may be mended; planning anew")

// heldEvery is how often it is looked whether indexes are still held up.
const heldEvery = 5 * time.Second

// checkHeld returns errMended when other indexes than before would be held up now.
// was is what was held up before the sink was asked to make indexes: those that
// it refused have a look of their own, retry. It is called by the checkpoint step, often.
func (d *daemon) checkHeld(ctx context.Context, before *inspection, was held) error {
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

// unreadable notes why a table cannot be read, or with nil that it can again, and
// reports whether the reason is new.
func (s *status) unreadable(t *sources.Table, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.unread, t.String())
		return false
	}
	text := fmt.Sprintf("table %s: %v", t, err)
	if s.unread[t.String()] == text {
		return false
	}
	if s.unread == nil {
		s.unread = map[string]string{}
	}
	s.unread[t.String()] = text
	return true
}

// hold notes which indexes are held up.
func (s *status) hold(why held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = why
}

// holds reports whether an index is held up.
func (s *status) holds(alias string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[alias] != ""
}

// forPeople lists what a person must mend while the rest goes on. The lock is held.
func (s *status) forPeople() (all []string) {
	for _, alias := range slices.Sorted(maps.Keys(s.held)) {
		all = append(all, "index "+alias+" is held up: "+s.held[alias])
	}
	for _, table := range slices.Sorted(maps.Keys(s.unread)) {
		all = append(all, s.unread[table])
	}
	return all
}
