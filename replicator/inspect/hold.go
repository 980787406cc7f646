package inspect

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"haystream/internal/preflight"
	"haystream/mapping"
)

// Hold takes out what the errors are about, and reports whether that was all of
// them. known: the definitions have worked before, so that they are not at fault.
func (in *Inspection) Hold(errs []preflight.Finding, known bool) bool {
	for _, f := range errs {
		if !known && (f.Path != "" || f.Waits) || !in.holdFor(f) {
			return false
		}
	}
	return true
}

// holdFor takes out what one error is about: a definition, all that use a table,
// or what the configuration says of a table, which HoldBroken follows up.
func (in *Inspection) holdFor(f preflight.Finding) bool {
	if name := longest(in.Set.Indexes, "indexes.", f.Path); name != "" {
		return in.HoldAlias(in.Set.Alias(name), f)
	}
	if name := longest(in.Set.Tables, "tables.", f.Path); name != "" {
		in.broken = append(in.broken, in.takeOut(name, f))
		return true
	}
	if alias, ok := strings.CutPrefix(f.Subject, "index "); ok {
		return in.HoldAlias(alias, f)
	}
	table, ok := strings.CutPrefix(f.Subject, "table ")
	if !ok || in.Plan == nil {
		return false
	}
	return in.holdUsers(table, f)
}

// holdUsers takes out every index that uses a table.
func (in *Inspection) holdUsers(table string, f preflight.Finding) (found bool) {
	for _, index := range in.Plan.Sets[0] {
		if index.Uses[table] != nil {
			found = in.HoldAlias(index.Alias, f) || found
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
func (in *Inspection) takeOut(table string, f preflight.Finding) broken {
	config := in.Set.Tables[table]
	if config != nil {
		if relation := longest(config.Relations, "tables."+table+".relations.", f.Path); relation != "" {
			less := *config
			less.Relations = maps.Clone(config.Relations)
			delete(less.Relations, relation)
			in.Set.Tables[table] = &less
			return broken{table, relation, f}
		}
	}
	delete(in.Set.Tables, table)
	return broken{table, "", f}
}

// HoldBroken takes out what uses a table of which the configuration says something
// that does not fit any more; without that it would mean something else. Where that is
// a relation, it is what names it, or may.
func (in *Inspection) HoldBroken() (found bool) {
	for _, b := range in.broken {
		for _, t := range in.Catalog {
			if t.Name != b.table && t.String() != b.table {
				continue
			}
			for _, index := range in.Plan.Sets[0] {
				if index.Uses[t.String()] != nil && in.names(index, b) {
					found = in.HoldAlias(index.Alias, b.Finding) || found
				}
			}
		}
	}
	return found
}

// names reports whether a definition of the index, or a column that is computed
// for any, has a relation's name in it.
func (in *Inspection) names(index *mapping.Index, b broken) bool {
	word := regexp.MustCompile(`\b` + regexp.QuoteMeta(b.relation) + `\b`) // of an empty name it finds some in any text
	for _, name := range index.Names {
		if text, err := yaml.Marshal(in.Set.Indexes[name]); err != nil || word.Match(text) {
			return true
		}
	}
	for _, config := range in.Set.Tables {
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

// HoldAlias takes out all definitions of an alias; false where there is none.
func (in *Inspection) HoldAlias(alias string, f preflight.Finding) (found bool) {
	for name := range in.Set.Indexes {
		if in.Set.Alias(name) == alias {
			found = true
			delete(in.Set.Indexes, name)
		}
	}
	switch before := in.Held[alias]; {
	case before != "":
		in.Held[alias] = before + "\n" + f.String()
		return true
	case !found:
		return false
	}
	in.Held[alias] = f.String()
	for _, b := range in.broken {
		if text := b.String(); f.Path != "" && !strings.Contains(in.Held[alias], text) {
			in.Held[alias] += "\n" + text // from which the other may follow
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

// Defines reports whether the subject of a finding is an alias, which can be held up.
func (in *Inspection) Defines(subject string) bool {
	alias, ok := strings.CutPrefix(subject, "index ")
	return ok && slices.ContainsFunc(slices.Collect(maps.Keys(in.Set.Indexes)), func(name string) bool { return in.Set.Alias(name) == alias })
}
