package config

import (
	"slices"
	"strings"

	"haystream/internal/conf"
	"haystream/mapping"
)

// ReachesSource reports whether the source can be connected to in spite of mistakes.
func ReachesSource(src *conf.Source, errs conf.Errors) bool {
	return !unread(src, errs) && !slices.ContainsFunc(errs, keepsFromSource)
}

// Explain adds to the mistakes found in the files those that only compile finds,
// which compiles definitions over the catalog.
func (c *Config) Explain(src *conf.Source, errs conf.Errors, compile func(mapping.Set) error) conf.Errors {
	told := c.checkDefinitions(src)
	others := slices.DeleteFunc(slices.Clone(errs), func(e conf.Error) bool { return slices.Contains(told, e) })
	// A definition may have more than one mistake in a place, so that one
	// that was told does not stand for another.
	errs = errs.With(merge(src, others, Located(compile(unsure(c.Set().Part(false), others)), src))...)
	errs.Sort()
	return errs
}

// unsure marks what of a set was not read whole: a name that is missing may be
// there. It changes what the set holds.
func unsure(set mapping.Set, errs conf.Errors) mapping.Set {
	for _, e := range errs {
		within, _, _ := strings.Cut(e.Path, ".")
		if within == "" || within == "include" || e.Path == "tables" || e.Near == "tables" {
			set.Unsure = true
		}
		for name, config := range set.Tables {
			if config != nil && strings.HasPrefix(e.Path+".", "tables."+name+".") {
				config.Unsure = true
			}
		}
	}
	return set
}

// keepsFromSource reports whether a mistake may change how, or where to, the
// source is connected.
func keepsFromSource(e conf.Error) bool {
	setting, within := strings.CutPrefix(e.Path, "source.")
	if !within {
		return e.Path == "source" || e.Near == "source"
	}
	if e.Near != "" {
		setting = setting[:strings.LastIndexByte(setting, '.')+1] + e.Near
	}
	switch head, _, _ := strings.Cut(setting, "."); head {
	case "slot", "publication", "server_id", "snapshot":
		return false
	}
	return true
}
