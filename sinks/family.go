package sinks

import (
	"iter"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A physical index may have others beside it that belong to it, one for each period of
// its documents. It has itself the documents without a period. Its name is
// alias-<timestamp>, theirs are alias-<period>-<timestamp>.

var timestamp = regexp.MustCompile(`-\d{8}-\d{6}-\d{3}$`)

// IsPhysical reports whether a name is alias-<timestamp>, as the alias's physical
// indexes are named, but for those of periods.
func IsPhysical(alias, name string) bool {
	return timestamp.FindString(name) == strings.TrimPrefix(name, alias) && strings.HasPrefix(name, alias+"-")
}

// AliasOf is the alias that a physical index has its name from; empty where the name is
// not one that a physical index gets.
func AliasOf(name string) string {
	if stamp := timestamp.FindString(name); stamp != "" {
		return strings.TrimSuffix(name, stamp)
	}
	return ""
}

// inPeriod is the name of the physical index of a period.
func inPeriod(physical, period string) string {
	stamp := timestamp.FindString(physical)
	return strings.TrimSuffix(physical, stamp) + "-" + period + stamp
}

// PeriodOf is the period of one of the physical indexes that belong to another one;
// empty where it is none.
func PeriodOf(physical, name string) string {
	stamp := timestamp.FindString(physical)
	if stamp == "" || !strings.HasSuffix(name, stamp) {
		return ""
	}
	period, ok := strings.CutPrefix(strings.TrimSuffix(name, stamp), strings.TrimSuffix(physical, stamp)+"-")
	if !ok || !periodName.MatchString(period) {
		return ""
	}
	return period
}

// Belongs reports whether a physical index is of a period of one of others.
func Belongs(name string, others iter.Seq[string]) bool {
	for other := range others {
		if PeriodOf(other, name) != "" {
			return true
		}
	}
	return false
}

var periodName = regexp.MustCompile(`^\d{4}(\.w?\d\d(\.\d\d)?)?$`)

// Periods is a pattern that names of an index's periods match, with a * in it; empty
// where it cannot have any.
func Periods(physical string) string {
	stamp := timestamp.FindString(physical)
	if stamp == "" {
		return ""
	}
	return strings.TrimSuffix(physical, stamp) + "-*" + stamp
}

// parts are the targets of an index's periods, by their names.
type parts struct {
	mu     sync.RWMutex
	byName map[string]*Target
}

// In is the target of a period. It counts for itself.
func (t *Target) In(period string) *Target {
	t.parts.mu.RLock()
	part := t.parts.byName[period]
	t.parts.mu.RUnlock()
	if part != nil {
		return part
	}
	t.parts.mu.Lock()
	defer t.parts.mu.Unlock()
	if part = t.parts.byName[period]; part == nil {
		physical := inPeriod(t.Physical, period)
		part = &Target{Index: t.Index, Physical: physical, WriteAlias: WriteAlias(physical), Pipeline: t.Pipeline, Period: period, Of: t}
		if t.parts.byName == nil {
			t.parts.byName = map[string]*Target{}
		}
		t.parts.byName[period] = part
	}
	return part
}

// All are the target and those of its periods, in their order.
func (t *Target) All() []*Target {
	t.parts.mu.RLock()
	defer t.parts.mu.RUnlock()
	all := []*Target{t}
	for _, part := range t.parts.byName {
		all = append(all, part)
	}
	slices.SortFunc(all[1:], func(a, b *Target) int { return strings.Compare(a.Period, b.Period) })
	return all
}

// Forget forgets a period, whose index is dropped. What was counted for it is counted on, so that no counter falls.
func (t *Target) Forget(period string) {
	t.parts.mu.Lock()
	defer t.parts.mu.Unlock()
	if part := t.parts.byName[period]; part != nil {
		t.Written.Add(part.Written.Load())
		t.Deleted.Add(part.Deleted.Load())
		t.Superseded.Add(part.Superseded.Load())
		t.Dropped.Add(part.Dropped.Load())
	}
	delete(t.parts.byName, period)
}
