package commands

import (
	"fmt"
	"maps"
	"slices"

	"haystream/internal/conf"
	"haystream/replicator/config"
)

// A UsageError is about what was typed, such as a name that the config has no definition for.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap implements errors.Unwrap.
func (e *UsageError) Unwrap() error { return e.Err }

// findIndex is the alias that is meant by a definition's name or by the alias itself.
func findIndex(cfg *config.Config, name string) (string, error) {
	set := cfg.Set()
	alias, ok := set.Find(name)
	if !ok {
		return "", unknownIndex(cfg, name)
	}
	return alias, nil
}

// findIndexes does the same for several, each alias once.
func findIndexes(cfg *config.Config, names []string) ([]string, error) {
	var aliases []string
	for _, name := range names {
		alias, err := findIndex(cfg, name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(aliases, alias) {
			aliases = append(aliases, alias)
		}
	}
	return aliases, nil
}

func unknownIndex(cfg *config.Config, name string) error {
	return &UsageError{fmt.Errorf("there is no index %q%s", name, conf.DidYouMean(name, slices.Sorted(maps.Keys(cfg.Indexes))))}
}
