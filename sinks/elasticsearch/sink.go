// Package elasticsearch delivers documents to Elasticsearch 7.17 to 9 and
// OpenSearch 2 and 3.
//
// The guarantee: a batch is done when the server holds each of its actions, or
// holds it as a dead letter. What the server refuses for now is sent again, in
// order for each document, for as long as it takes; what it refuses for good
// never stops the stream. A document is never overwritten by a lower version:
// every write carries its version (external_gte), so a request may be repeated
// when its answer was lost.
//
// Write owns one goroutine per lane and one that spreads actions over them;
// all have ended when it returns.
package elasticsearch

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"

	"github.com/rs/zerolog"

	"haystream/sinks"
	"haystream/sinks/deadletters"
)

var _ sinks.Sink = (*Sink)(nil)

// A Sink writes to one cluster.
type Sink struct {
	cfg    Config
	opts   sinks.Options
	log    zerolog.Logger
	client *client
	health *health
	open   *deadletters.Open

	server   server              // as Info last found it
	lostSave map[string][]string // marks of saves whose answer was lost, by checkpoint
}

// New makes a Sink. It connects to nothing yet. The settings' secrets must
// have been read from their files. What a server needs and is not set has its default.
func New(cfg Config, opts sinks.Options, log zerolog.Logger) (*Sink, error) {
	defaults := NewConfig()
	cfg.Flavor = cmp.Or(cfg.Flavor, defaults.Flavor)
	cfg.Bulk.MaxBytes = cmp.Or(cfg.Bulk.MaxBytes, defaults.Bulk.MaxBytes)
	cfg.Bulk.Lanes = cmp.Or(cfg.Bulk.Lanes, defaults.Bulk.Lanes)
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = 32 << 20
	}
	client, err := newClient(&cfg)
	if err != nil {
		return nil, fmt.Errorf("sink.elasticsearch: %w", err)
	}
	return &Sink{
		cfg: cfg, opts: opts, log: log, client: client,
		health: newHealth(cfg.Bulk.Lanes, log), open: deadletters.NewOpen(opts.MaxDeadLetters), lostSave: map[string][]string{},
	}, nil
}

// Health is nil while documents are taken; else the reason why they wait, or why the server cannot be reached: between
// two sessions no documents wait.
func (s *Sink) Health() error {
	if err := s.health.err(); err != nil {
		return err
	}
	if err := s.client.unreached(); err != nil {
		return explained("no answer", err)
	}
	return nil
}

// Close ends all connections.
func (s *Sink) Close() { s.client.close() }

// address is where the server is, without credentials.
func (s *Sink) address() string {
	if s.cfg.CloudID != "" {
		name, _, _ := strings.Cut(s.cfg.CloudID, ":")
		return "Elastic Cloud deployment " + name
	}
	shown := make([]string, len(s.cfg.Addresses))
	for i, address := range s.cfg.Addresses {
		shown[i] = "an address that cannot be read"
		if u, err := url.Parse(address); err == nil {
			shown[i] = u.Scheme + "://" + u.Host + u.Path
		}
	}
	return strings.Join(shown, ", ")
}
