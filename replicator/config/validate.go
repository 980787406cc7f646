package config

import (
	"errors"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"

	"haystream/internal/conf"
	"haystream/mapping"
	"haystream/replicator/widgets"
	"haystream/sinks/kinds"
	"haystream/sources"
)

// Choices lists the valid texts of settings that have only a few, by path; a *
// stands for a name.
func Choices() map[string][]string {
	choices := map[string][]string{
		"log.level":           {"debug", "info", "warn", "error"},
		"log.format":          {"auto", "json", "console"},
		"source.tinyint1":     {sources.Tinyint1Boolean, sources.Tinyint1Number},
		"source.invalid_utf8": {sources.InvalidReplace, sources.InvalidDeadLetter},
		"indexes.*.mode":      {mapping.ModeAppend},

		"indexes.*.fields.*.engine":  mapping.Engines(),
		"indexes.*.id.engine":        mapping.Engines(),
		"indexes.*.routing.engine":   mapping.Engines(),
		"tables.*.computed.*.engine": mapping.Engines(),
		"widgets.*.graph.every":      widgets.Intervals(),
	}
	maps.Copy(choices, kinds.Choices())
	return choices
}

var validSlot = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)

// validate finds settings that are well-formed and still cannot be used.
func (c *Config) validate(src *conf.Source) conf.Errors {
	v := src.Section("")
	if c.Name == "" {
		v.Failf("name", "the pipeline has no name; give it one, such as blog")
	} else if !conf.ValidName(c.Name) {
		v.Failf("name", conf.NameForm)
	}
	if c.Part(false) != nil || src.Has("source") || len(c.Indexes) == 0 {
		c.validateSource(v)
	}
	v.Errs = append(v.Errs, c.Sink.Complete(src)...)
	c.validateHTTP(v)
	v.OneOf("log.level", c.Log.Level, Choices()["log.level"])
	v.OneOf("log.format", c.Log.Format, Choices()["log.format"])
	v.AtLeastBytes("limits.max_memory", c.Limits.MaxMemory, minMemory)
	v.AtLeast("limits.max_dead_letters", int64(c.Limits.MaxDeadLetters), 0)
	v.AtLeastBytes("limits.max_event_queue", c.Limits.MaxEventQueue, minQueue)
	if c.Limits.MaxRetainedLog > 0 && hasBinaryLog(c.Source.URL) {
		v.Failf("limits.max_retained_log", "MySQL and MariaDB keep no log for the daemon, but all of it for as long as binlog_expire_logs_seconds says; set that on the server, and take this out")
	}
	if _, err := time.Parse("15:04", c.Verify.At); c.Verify.At != "" && err != nil {
		v.Failf("verify.at", "%q is not a time of day; write it like 03:00", c.Verify.At)
	}
	if c.Verify.Every > 0 && time.Duration(c.Verify.Every) < time.Minute {
		v.Failf("verify.every", "must be a minute at least")
	}
	if c.Verify.At != "" && c.Verify.Every == 0 {
		v.Failf("verify.every", "is what verify.at goes with; write how often, such as 24h")
	}
	if c.State.Path == "" {
		v.Failf("state.path", "must name a folder")
	}
	if c.Sink.NDJSON != nil && len(c.Parts()) == 2 {
		v.Failf("sink.ndjson", "takes documents of rows or of events, and not both at a time; write two configurations, each with a name and a path of its own")
	}
	if len(c.Indexes) == 0 {
		v.Failf("indexes", "there is no index; define at least one")
	}
	return v.Errs
}

func (c *Config) validateSource(v *conf.Section) {
	s, before := c.Source, len(v.Errs)
	validateURL(v, "source.url", s.URL)
	if s.Slot != "" && !validSlot.MatchString(s.Slot) {
		v.Failf("source.slot", "must be a-z, 0-9 and _, at most 63")
	}
	if len(s.Publication) > maxIdentifier {
		v.Failf("source.publication", "must be at most %d bytes long", maxIdentifier)
	}
	v.OneOf("source.tinyint1", s.Tinyint1, Choices()["source.tinyint1"])
	v.OneOf("source.invalid_utf8", s.InvalidUTF8, Choices()["source.invalid_utf8"])
	v.AtLeast("source.snapshot.chunk_rows", int64(s.Snapshot.ChunkRows), 1)
	v.AtLeast("source.snapshot.parallel", int64(s.Snapshot.Parallel), 1)
	v.AtLeast("source.snapshot.max_rows_per_second", int64(s.Snapshot.MaxRowsPerSecond), 0)
	if len(v.Errs) > before {
		return
	}
	source, err := c.OpenSource(zerolog.Nop())
	if err != nil {
		v.Failf("source.url", "%v", innermost(err))
		return
	}
	source.Close()
}

// innermost is the part of an error that says what is wrong with a setting,
// without the part that says where: the line does that.
func innermost(err error) error {
	if url, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		text := url.Error() // it repeats the URL, of which it hides the password only: a parameter may be a secret, too
		return errors.New(strings.TrimPrefix(text[strings.LastIndex(text, "`")+1:], ": "))
	}
	if _, reason, ok := strings.Cut(err.Error(), "parse source.url: "); ok {
		return errors.New(reason)
	}
	return err
}

// validateURL never repeats the URL: it may hold a password.
func validateURL(v *conf.Section, path string, secret conf.Secret) {
	const example = "write it like postgres://user@host:5432/database, or with mysql:// or mariadb://"
	if secret == "" {
		v.Failf(path, "the database's URL is missing; %s", example)
		return
	}
	u, err := url.Parse(secret.Reveal())
	switch {
	case err != nil || u.Scheme == "" || u.Opaque != "":
		v.Failf(path, "is not a URL; %s, and a special character in a user name or password as %%40", example)
	case !slices.Contains([]string{"postgres", "postgresql", "mysql", "mariadb"}, u.Scheme):
		v.Failf(path, "the scheme is not known; %s", example)
	case u.Query().Has("password"):
		v.Failf(path, "must not hold the password as a parameter; write it like postgres://user:password@host, or use password_file")
	}
}

// hasBinaryLog reports whether the URL is of a server that keeps its log by its own rules.
func hasBinaryLog(secret conf.Secret) bool {
	return slices.Contains([]string{"mysql", "mariadb"}, scheme(secret))
}

// hasMessages reports whether the URL is of a server whose clients can write messages into its log.
func hasMessages(secret conf.Secret) bool {
	return slices.Contains([]string{"postgres", "postgresql"}, scheme(secret))
}

// scheme is that of a URL; empty where it is none.
func scheme(secret conf.Secret) string {
	u, err := url.Parse(secret.Reveal())
	if err != nil {
		return ""
	}
	return u.Scheme
}

// minMemory is what the pipeline needs to make progress at all.
const minMemory = 16 << 20

// minQueue is room for the largest request and what is on its way.
const minQueue = 64 << 20

func (c *Config) validateHTTP(v *conf.Section) {
	if c.HTTP.Listen == "" {
		return
	}
	_, port, err := net.SplitHostPort(c.HTTP.Listen)
	if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
		v.Failf("http.listen", "is not an address; write it like 127.0.0.1:9600")
		return
	}
	if c.HTTP.Beyond() && c.HTTP.Token == "" {
		v.Failf("http.listen", "listens beyond this machine; set http.token, too, or listen on 127.0.0.1")
	}
}

// Beyond reports whether others than this machine can reach the address.
func (c *HTTPConfig) Beyond() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	ip := net.ParseIP(host)
	return err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback())
}
