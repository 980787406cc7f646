package rowstore

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/rs/zerolog"
)

// engine is how the storage engine is set up.
func (s *Store) engine(g *guard, p *pace) *pebble.Options {
	cache := s.options.CacheBytes
	if cache == 0 {
		cache = defaultCache
	}
	o := &pebble.Options{
		FS:                          g,
		CacheSize:                   cache, // memtables are taken out of it
		MemTableSize:                uint64(cache / 4),
		MemTableStopWritesThreshold: 2,
		L0CompactionThreshold:       4,
		LBaseMaxBytes:               16 << 20, // old states of rows wait there: fewer bytes on disk
		L0StopWritesThreshold:       1 << 10,  // see pace
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
		MaxOpenFiles:                256,
		FormatMajorVersion:          pebble.FormatValueSeparation,
		Logger:                      engineLog{log: s.options.Log, guard: g},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { s.options.Log.Debug().Err(err).Msg("row store in the background") },
			CompactionEnd:   func(pebble.CompactionInfo) { p.ended() },
			FlushEnd:        func(pebble.FlushInfo) { p.ended() },
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				g.fail(fmt.Errorf("%w: it is damaged: %w", ErrRebuild, info.Details))
			},
		},
	}
	// A flush that takes over a table reads others, and is tried for ever where one is damaged, even within
	// Open. So what a table overlaps with is flushed first, which reads nothing.
	o.Experimental.DisableIngestAsFlushable = func() bool { return true }
	// Keys that are looked for in vain are those of new rows: filters spare
	// the reading. The last level's are too large to stay in the cache.
	// Larger blocks are smaller on disk, and slower to read one row of.
	for level := range o.Levels {
		o.Levels[level].BlockSize = 8 << 10
		o.Levels[level].FilterPolicy = bloom.FilterPolicy(10)
	}
	o.Levels[len(o.Levels)-1].FilterPolicy = pebble.NoFilterPolicy
	// What is above the last level is soon written again: to compress it costs a fifth of the processor
	// time of a stream, and saves little.
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings {
		c := pebble.DBCompressionNone
		c.Levels[len(c.Levels)-1] = sstable.SnappyCompression
		return c
	})
	return o
}

// engineLog passes on what the storage engine calls an error.
type engineLog struct {
	log   zerolog.Logger
	guard *guard
}

func (l engineLog) Infof(string, ...any) {}

func (l engineLog) Errorf(format string, args ...any) {
	l.log.Warn().Str("why", fmt.Sprintf(format, args...)).Msg("row store in the background")
}

// Fatalf is called for what the storage engine cannot go on from. The guard
// keeps errors of the volume from it, so what is left is damage.
func (l engineLog) Fatalf(format string, args ...any) {
	l.guard.fail(fmt.Errorf("%w: it is damaged: %s", ErrRebuild, fmt.Sprintf(format, args...)))
}

// Metrics is a store's size and how it works.
type Metrics struct {
	Bytes       int64 // on disk
	MemoryBytes int64 // blocks and writes held in memory
	CacheHits   int64
	CacheMisses int64
	Compactions int64
	Flushes     int64
}

// Metrics returns the store's figures of this moment; counters count from Open.
func (s *Store) Metrics() Metrics {
	m := s.db.Metrics()
	return Metrics{
		Bytes:       int64(m.DiskSpaceUsage()),
		MemoryBytes: m.BlockCache.Size + int64(m.MemTable.Size),
		CacheHits:   m.BlockCache.Hits,
		CacheMisses: m.BlockCache.Misses,
		Compactions: m.Compact.Count,
		Flushes:     m.Flush.Count,
	}
}
