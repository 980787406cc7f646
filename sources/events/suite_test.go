package events_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"haystream/sources"
	"haystream/sources/events"
	"haystream/sources/sourcetest"
)

// TestConformance runs what of the suite of all sources is true of a queue.
func TestConformance(t *testing.T) {
	root := t.TempDir()
	sourcetest.RunPushed(t, sourcetest.Pushed{
		Schema: sources.EventsSchema,
		Source: func(t testing.TB, name string) sources.Source {
			return events.New(filepath.Join(root, name), []string{"people", "fence"}, events.Options{MaxBytes: 64 << 20, Log: zerolog.New(zerolog.NewTestWriter(t))})
		},
		Push: func(ctx context.Context, source sources.Source, table string, keys ...string) error {
			batch := make([]events.Event, len(keys))
			for i, key := range keys {
				batch[i] = events.Event{Name: table, ID: key, Created: "2026-11-29T10:00:00Z", Body: []byte("{}")}
			}
			return source.(*events.Source).Append(ctx, batch)
		},
		Held: func(source sources.Source) int64 { return source.(*events.Source).Stats().Bytes },
	})
}
