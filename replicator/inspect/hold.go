package inspect

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"haystream/internal/preflight"
	"haystream/mapping"
	"haystream/replicator/builds"
)

// HoldNothing begins anew with all definitions.
func (in *Inspection) HoldNothing(set mapping.Set) {
	in.Set, in.Held, in.broken = set, builds.Held{}, nil
	in.Set.Indexes, in.Set.Tables = maps.Clone(set.Indexes), maps.Clone(set.Tables)
}

// Hold takes out what the errors are about, and returns those that do not follow
// from others; not ok: they are about something else, too. known: the definitions
// have worked before, so that they are not at fault.
func (in *Inspection) Hold(errs []preflight.Finding, known bool) (told []preflight.Finding, ok bool) {
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
func (in *Inspection) cause(f preflight.Finding) string {
	var about any
	if name := longest(in.Set.Indexes, "indexes.", f.Path); name != "" {
		about = in.Set.Indexes[name]
	} else if name := longest(in.Set.Tables, "tables.", f.Path); name != "" {
		about = in.Set.Tables[name]
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
// or what the configuration says of a table, which HoldBroken follows up.
func (in *Inspection) holdFor(f preflight.Finding, why string) bool {
	if name := longest(in.Set.Indexes, "indexes.", f.Path); name != "" {
		return in.HoldAlias(in.Set.Alias(name), why)
	}
	if name := longest(in.Set.Tables, "tables.", f.Path); name != "" {
		in.broken = append(in.broken, broken{name, in.takeOut(name, f.Path), why})
		return true
	}
	if alias, ok := strings.CutPrefix(f.Subject, "index "); ok {
		return in.HoldAlias(alias, why)
	}
	table, ok := strings.CutPrefix(f.Subject, "table ")
	if !ok || in.Plan == nil {
		return false
	}
	return in.holdUsers(table, why)
}

// holdUsers takes out every index that uses a table.
func (in *Inspection) holdUsers(table, why string) (found bool) {
	for _, index := range in.Plan.Sets[0] {
		if index.Uses[table] != nil {
			found = in.HoldAlias(index.Alias, why) || found
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
func (in *Inspection) takeOut(table, path string) (name string) {
	config := in.Set.Tables[table]
	if config == nil {
		delete(in.Set.Tables, table)
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
		delete(in.Set.Tables, table)
		return ""
	}
	in.Set.Tables[table] = &less
	return name
}

// HoldBroken takes out what uses a table of which the configuration says something
// that does not fit any more; without that it would mean something else. Where that is
// a relation or a computed column, it is what names it, or may.
func (in *Inspection) HoldBroken() (found bool) {
	for _, b := range in.broken {
		for _, t := range in.Catalog {
			if t.Name != b.table && t.String() != b.table {
				continue
			}
			for _, index := range in.Plan.Sets[0] {
				if index.Uses[t.String()] != nil && in.names(index, b) {
					found = in.HoldAlias(index.Alias, b.why) || found
				}
			}
		}
	}
	return found
}

// names reports whether a definition of the index, or a column that is computed
// for any, has a broken's name in it.
func (in *Inspection) names(index *mapping.Index, b broken) bool {
	for _, name := range index.Names {
		if b.named(wording(in.Set.Indexes[name])) {
			return true
		}
	}
	for _, config := range in.Set.Tables {
		if config == nil {
			continue
		}
		for _, c := range config.Computed {
			if b.named(c.Text) {
				return true
			}
		}
	}
	return false
}

// HoldAlias takes out all definitions of an alias, and adds the lines that say why;
// false where there is no such alias.
func (in *Inspection) HoldAlias(alias, why string) (found bool) {
	for name := range in.Set.Indexes {
		if in.Set.Alias(name) == alias {
			found = true
			delete(in.Set.Indexes, name)
		}
	}
	lines := strings.Split(in.Held[alias], "\n")
	if !found && in.Held[alias] == "" {
		return false
	}
	for line := range strings.SplitSeq(why, "\n") {
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	in.Held[alias] = strings.TrimPrefix(strings.Join(lines, "\n"), "\n")
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

// Defines reports whether the subject of a finding is an alias, which can be held up.
func (in *Inspection) Defines(subject string) bool {
	alias, ok := strings.CutPrefix(subject, "index ")
	return ok && slices.ContainsFunc(slices.Collect(maps.Keys(in.Set.Indexes)), func(name string) bool { return in.Set.Alias(name) == alias })
}
