package builds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"haystream/sinks"
)

// An index or alias that others have made is left alone, unless somebody has said that the
// pipeline may take its place. That is a note of its own in the sink, beside the
// checkpoint: it is given while no daemon runs, as one that meets a foreign index first stops, and
// to one that runs. It holds until the place is taken, and no longer.

// Adoptions are the aliases whose places may be taken.
type Adoptions struct {
	Aliases []string `json:"aliases"`

	sink  sinks.Checkpoints
	name  string
	token sinks.Token
}

// AdoptionsNote is the name under which a pipeline's Adoptions are saved. No pipeline's name has a colon.
func AdoptionsNote(pipeline string) string { return pipeline + ":adopt" }

// LoadAdoptions reads what a pipeline may take.
func LoadAdoptions(ctx context.Context, sink sinks.Checkpoints, pipeline string) (*Adoptions, error) {
	a := &Adoptions{sink: sink, name: AdoptionsNote(pipeline)}
	data, token, err := sink.LoadCheckpoint(ctx, a.name)
	if err != nil {
		return nil, fmt.Errorf("load adoptions: %w", err)
	}
	a.token = token
	if data != nil && json.Unmarshal(data, a) != nil {
		a.Aliases = nil // damaged: nothing may be taken
	}
	return a, nil
}

// Has reports whether an alias may be taken.
func (a *Adoptions) Has(alias string) bool { return a != nil && slices.Contains(a.Aliases, alias) }

// Set allows an alias to be taken, or forbids it again.
func (a *Adoptions) Set(ctx context.Context, alias string, may bool) error {
	a.Aliases = slices.DeleteFunc(a.Aliases, func(other string) bool { return other == alias })
	if may {
		a.Aliases = append(a.Aliases, alias)
	}
	data, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode adoptions: %w", err)
	}
	if a.token, err = a.sink.SaveCheckpoint(ctx, a.name, data, a.token); err != nil {
		return fmt.Errorf("save adoptions: %w", err)
	}
	return nil
}

// may reports whether the place of what others have made may be taken, by now.
func (x *Indexes) may(ctx context.Context, alias string) bool {
	a, err := LoadAdoptions(ctx, x.Sink, x.Pipeline)
	return err == nil && a.Has(alias)
}

// take points an alias to a physical index in the place of what others have made, where that was
// allowed; else it returns foreign, which says what they are.
func (x *Indexes) take(ctx context.Context, alias, physical string, foreign error) error {
	a, err := LoadAdoptions(ctx, x.Sink, x.Pipeline)
	if err != nil || !a.Has(alias) {
		return errors.Join(err, foreign)
	}
	var kept []string
	err = x.State.own(ctx, func(ctx context.Context) (err error) {
		kept, err = x.Sink.Take(ctx, alias, physical)
		return err
	})
	if err != nil {
		return fmt.Errorf("take the place of %s: %w", alias, err)
	}
	x.Log.Warn().Str("index", alias).Str("physical", physical).Strs("kept", kept).Msg("the alias has taken the place of what others had made, as somebody has asked; their documents stay in the indexes that are kept: delete those when nobody needs them")
	return a.Set(ctx, alias, false)
}

// adopted takes back what was allowed for an alias that this pipeline has by now: a kill may have come
// between the two.
func (x *Indexes) adopted(ctx context.Context, alias string) error {
	if !x.Adopts.Has(alias) {
		return nil
	}
	a, err := LoadAdoptions(ctx, x.Sink, x.Pipeline)
	if err == nil && a.Has(alias) {
		err = a.Set(ctx, alias, false)
	}
	return err
}
