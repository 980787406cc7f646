package replicator

import (
	"sync"

	"github.com/rs/zerolog"

	"haystream/mapping"
	"haystream/replicator/config"
	"haystream/sources"
)

// A decoding decides what becomes of values that are not UTF-8. It is shared by
// all who render.
type decoding struct {
	refuse bool
	gauges *gauges
	log    zerolog.Logger
	told   sync.Map // columns that were logged
}

func newDecoding(cfg *config.Config, g *gauges, log zerolog.Logger) *decoding {
	return &decoding{refuse: cfg.Source.InvalidUTF8 == sources.InvalidDeadLetter, gauges: g, log: log}
}

// scratch is a new one that asks here.
func (d *decoding) scratch() *mapping.Scratch {
	s := mapping.NewScratch()
	s.Undecodable = d.decide
	return s
}

// decide refuses the document or counts the value, and logs the first one of each column.
func (d *decoding) decide(e *mapping.UndecodableError) error {
	if d.refuse {
		return e
	}
	d.gauges.replaced.Add(1)
	if _, told := d.told.LoadOrStore(e.Table+"."+e.Column, true); !told {
		d.log.Warn().Str("table", e.Table).Msg(e.Error() + "; such bytes become U+FFFD (source.invalid_utf8)")
	}
	return nil
}
