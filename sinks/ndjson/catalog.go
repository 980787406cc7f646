package ndjson

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"haystream/sinks"
)

// A catalog is what a server would know of indexes: which there are, whose, and
// which aliases point to them.
type catalog struct {
	Indexes map[string]catalogIndex `json:"indexes"`
	Aliases map[string]string       `json:"aliases"` // to the physical index
}

type catalogIndex struct {
	Owner    string          `json:"owner"`
	UUID     string          `json:"uuid"`
	Mappings json.RawMessage `json:"mappings,omitempty"`
	Settings json.RawMessage `json:"settings,omitempty"`
	Meta     json.RawMessage `json:"meta,omitempty"`
}

func (s *Sink) catalogPath() string { return filepath.Join(s.opts.StateDir, "ndjson-indexes.json") }

func (s *Sink) readCatalog() (*catalog, error) {
	c := &catalog{Indexes: map[string]catalogIndex{}, Aliases: map[string]string{}}
	text, err := os.ReadFile(s.catalogPath())
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(text, c)
	}
	if err != nil {
		return nil, fmt.Errorf("read indexes from %s: %w; put the file back, or delete it: every index is then built anew", s.catalogPath(), err)
	}
	if c.Indexes == nil || c.Aliases == nil {
		return nil, fmt.Errorf("read indexes from %s: it has no indexes or aliases; put the file back, or delete it: every index is then built anew", s.catalogPath())
	}
	return c, nil
}

func (s *Sink) writeCatalog(c *catalog) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err == nil {
		err = replaceFile(s.catalogPath(), text)
	}
	if err != nil {
		return fmt.Errorf("save indexes: %w", err)
	}
	return nil
}

// own returns a physical index of this pipeline; nil where there is none.
func (c *catalog) own(physical, owner string) (*catalogIndex, error) {
	index, ok := c.Indexes[physical]
	switch {
	case !ok:
		return nil, nil
	case index.Owner != owner:
		return nil, fmt.Errorf("%w: the index %s was made by the pipeline %q; give each pipeline a state folder of its own, or set `index:` in the definition to another name", sinks.ErrForeign, physical, index.Owner)
	}
	return &index, nil
}

// periods are the indexes that belong to one.
func (c *catalog) periods(physical, owner string) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(c.Indexes)) {
		if sinks.PeriodOf(physical, name) != "" && c.Indexes[name].Owner == owner {
			all = append(all, name)
		}
	}
	return all
}

// Index implements sinks.Sink.
func (s *Sink) Index(_ context.Context, alias string) (*sinks.Index, error) {
	c, err := s.readCatalog()
	if err != nil {
		return nil, err
	}
	if _, ok := c.Indexes[alias]; ok {
		return nil, fmt.Errorf("%w: %s is an index, and the alias of that name cannot be made", sinks.ErrForeign, alias)
	}
	physical, ok := c.Aliases[alias]
	if !ok {
		return nil, nil
	}
	index, err := c.own(physical, s.opts.Owner)
	if err != nil || index == nil {
		return nil, err
	}
	return &sinks.Index{Alias: alias, Physical: physical, UUID: index.UUID, Meta: index.Meta}, nil
}

// Takes implements sinks.Sink: files take whatever fits on the disk.
func (s *Sink) Takes(context.Context, *sinks.Target) (string, error) { return "", nil }

// Standing implements sinks.Sink.
func (s *Sink) Standing(_ context.Context, alias, physical string) (sinks.Standing, error) {
	c, err := s.readCatalog()
	if err != nil {
		return sinks.Standing{}, err
	}
	standing := sinks.Standing{WritesTo: c.Aliases[sinks.WriteAlias(physical)]}
	if index, ok := c.Indexes[physical]; ok && index.Owner == s.opts.Owner {
		standing.UUID = index.UUID
	}
	if to, ok := c.Aliases[alias]; ok {
		standing.Serving = []string{to}
	}
	for _, name := range c.periods(physical, s.opts.Owner) {
		standing.Periods = append(standing.Periods, sinks.PeriodOf(physical, name))
	}
	return standing, nil
}

// Foreign implements sinks.Sink.
func (s *Sink) Foreign(_ context.Context, alias string) (*sinks.Foreign, error) {
	c, err := s.readCatalog()
	if err != nil {
		return nil, err
	}
	physical := c.Aliases[alias]
	index, ok := c.Indexes[physical]
	if !ok || index.Owner == s.opts.Owner {
		return nil, nil
	}
	return &sinks.Foreign{
		Alias: alias, Indexes: []string{physical}, By: fmt.Sprintf("made by the pipeline %q", index.Owner),
		Cannot: "two pipelines must not share a state folder; give each its own",
	}, nil
}

// Take implements sinks.Sink.
func (s *Sink) Take(ctx context.Context, alias, physical string) ([]string, error) {
	return nil, s.Swap(ctx, alias, physical)
}

// Made implements sinks.Sink.
func (s *Sink) Made(_ context.Context, alias string) ([]*sinks.Index, error) {
	c, err := s.readCatalog()
	if err != nil {
		return nil, err
	}
	var made []*sinks.Index
	for _, name := range slices.Sorted(maps.Keys(c.Indexes)) {
		of := sinks.AliasOf(name)
		if index := c.Indexes[name]; of != "" && (alias == "" || alias == of) && index.Owner == s.opts.Owner && c.Aliases[sinks.WriteAlias(name)] == name && !sinks.Belongs(name, maps.Keys(c.Indexes)) {
			made = append(made, &sinks.Index{Alias: of, Physical: name, UUID: index.UUID, Meta: index.Meta})
		}
	}
	return made, nil
}

// Create implements sinks.Sink.
func (s *Sink) Create(ctx context.Context, spec sinks.IndexSpec) (*sinks.Index, error) {
	c, err := s.readCatalog()
	if err != nil {
		return nil, err
	}
	made, err := c.own(spec.Physical, s.opts.Owner)
	if err != nil {
		return nil, err
	}
	if spec.Serve {
		serving, err := s.Index(ctx, spec.Alias)
		if err != nil {
			return nil, err
		}
		if serving != nil && serving.Physical != spec.Physical && sinks.PeriodOf(serving.Physical, spec.Physical) == "" {
			return nil, fmt.Errorf("create index %s: the alias %s serves %s already", spec.Physical, spec.Alias, serving.Physical)
		}
	}
	if made == nil {
		made = &catalogIndex{Owner: s.opts.Owner, UUID: rand.Text(), Mappings: spec.Mappings, Settings: spec.Settings, Meta: spec.Meta}
		c.Indexes[spec.Physical] = *made
		c.Aliases[sinks.WriteAlias(spec.Physical)] = spec.Physical
		if spec.Serve && c.Aliases[spec.Alias] == "" {
			c.Aliases[spec.Alias] = spec.Physical // which stands for its periods, too
		}
		if err := s.writeCatalog(c); err != nil {
			return nil, err
		}
	}
	return &sinks.Index{Alias: spec.Alias, Physical: spec.Physical, UUID: made.UUID, Meta: made.Meta}, nil
}

// Finish implements sinks.Sink. There is nothing to tune in a file.
func (s *Sink) Finish(_ context.Context, physical string) error {
	c, err := s.readCatalog()
	if err != nil {
		return err
	}
	index, err := c.own(physical, s.opts.Owner)
	if err == nil && index == nil {
		err = fmt.Errorf("finish index %s: there is none", physical)
	}
	return err
}

// Amend implements sinks.Sink. Lines take any field.
func (s *Sink) Amend(_ context.Context, physical string, _, want sinks.IndexSpec) (string, error) {
	c, err := s.readCatalog()
	if err != nil {
		return "", err
	}
	index, err := c.own(physical, s.opts.Owner)
	if err == nil && index == nil {
		err = fmt.Errorf("amend index %s: there is none", physical)
	}
	if err != nil {
		return "", err
	}
	for _, name := range append(c.periods(physical, s.opts.Owner), physical) {
		index := c.Indexes[name]
		index.Mappings, index.Settings, index.Meta = want.Mappings, want.Settings, want.Meta
		c.Indexes[name] = index
	}
	return "", s.writeCatalog(c)
}

// Merge implements sinks.Sink. Lines have no segments.
func (s *Sink) Merge(ctx context.Context, physical string) (string, error) {
	return "", s.Finish(ctx, physical)
}

// Lacking implements sinks.Sink. Lines are not read back: what was written stays in the file.
func (s *Sink) Lacking(context.Context, string, string, string, func([]sinks.Document, string) error) error {
	return nil
}

// Newest implements sinks.Sink. Lines are not read back.
func (s *Sink) Newest(context.Context, string) (int64, error) { return 0, nil }

// Swap implements sinks.Sink.
func (s *Sink) Swap(ctx context.Context, alias, physical string) error {
	if _, err := s.Index(ctx, alias); err != nil {
		return err
	}
	if err := s.Finish(ctx, physical); err != nil {
		return err
	}
	c, err := s.readCatalog()
	if err != nil {
		return err
	}
	c.Aliases[alias] = physical
	return s.writeCatalog(c)
}

// Drop implements sinks.Sink. Lines that were written stay.
func (s *Sink) Drop(ctx context.Context, physical string) error {
	c, err := s.readCatalog()
	if err != nil {
		return err
	}
	if index, err := c.own(physical, s.opts.Owner); err != nil || index == nil {
		return err
	}
	all := append(c.periods(physical, s.opts.Owner), physical)
	for _, name := range all {
		delete(c.Indexes, name)
	}
	maps.DeleteFunc(c.Aliases, func(_, to string) bool { return slices.Contains(all, to) })
	if err := s.writeCatalog(c); err != nil {
		return err
	}
	for _, name := range all {
		if err := s.Shelve(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// Shelve implements sinks.Sink.
func (s *Sink) Shelve(_ context.Context, physical string) error {
	s.open.Drop(physical)
	if err := s.letters.append(appendLine(nil, clearLine{Owner: s.opts.Owner, Physical: physical, Dropped: true})); err != nil {
		return fmt.Errorf("drop dead letters of index %s: %w", physical, err)
	}
	return nil
}
