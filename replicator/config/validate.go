package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"

	"haystream/internal/conf"
	"haystream/sinks/elasticsearch"
	"haystream/sources"
)

// validation collects what is wrong with settings that could be decoded.
type validation struct {
	src  *conf.Source
	errs conf.Errors
}

func (v *validation) failf(path, format string, args ...any) {
	v.errs = append(v.errs, v.src.Errorf(path, format, args...))
}

func (v *validation) atLeast(path string, value, least int64) {
	if value < least {
		v.failf(path, "must be at least %d", least)
	}
}

func (v *validation) atLeastBytes(path string, value, least conf.Bytes) {
	if value < least {
		v.failf(path, "must be at least %s", least)
	}
}

// oneOf reports a setting that is none of its Choices.
func (v *validation) oneOf(path, value string) {
	if valid := Choices()[path]; !slices.Contains(valid, value) {
		v.failf(path, "must be one of %s%s", strings.Join(valid, ", "), conf.DidYouMean(value, valid))
	}
}

// Choices lists the valid texts of settings that have only a few, by path; a *
// stands for a name.
func Choices() map[string][]string {
	return map[string][]string{
		"log.level":                 {"debug", "info", "warn", "error"},
		"log.format":                {"auto", "json", "console"},
		"source.tinyint1":           {sources.Tinyint1Boolean, sources.Tinyint1Number},
		"source.invalid_utf8":       {sources.InvalidReplace, sources.InvalidDeadLetter},
		"sink.elasticsearch.flavor": {elasticsearch.FlavorElasticsearch, elasticsearch.FlavorOpenSearch},
		"indexes.*.mode":            {"append"},
	}
}

var (
	validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)
	validSlot = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)
)

// validate finds settings that are well-formed and still cannot be used.
func (c *Config) validate(src *conf.Source) conf.Errors {
	v := &validation{src: src}
	if c.Name == "" {
		v.failf("name", "the pipeline has no name; give it one, such as blog")
	} else if !validName.MatchString(c.Name) {
		v.failf("name", "must be letters, digits, _, . and -, at most 100, the first a letter or digit")
	}
	c.validateSource(v)
	c.validateSink(v)
	c.validateHTTP(v)
	v.oneOf("log.level", c.Log.Level)
	v.oneOf("log.format", c.Log.Format)
	v.atLeastBytes("limits.max_memory", c.Limits.MaxMemory, minMemory)
	v.atLeast("limits.max_dead_letters", int64(c.Limits.MaxDeadLetters), 0)
	if c.Limits.MaxRetainedLog > 0 && hasBinaryLog(c.Source.URL) {
		v.failf("limits.max_retained_log", "MySQL and MariaDB keep no log for the daemon, but all of it for as long as binlog_expire_logs_seconds says; set that on the server, and take this out")
	}
	if c.State.Path == "" {
		v.failf("state.path", "must name a folder")
	}
	if len(c.Indexes) == 0 {
		v.failf("indexes", "there is no index; define at least one")
	}
	return v.errs
}

func (c *Config) validateSource(v *validation) {
	s, before := c.Source, len(v.errs)
	v.validateURL("source.url", s.URL)
	if s.Slot != "" && !validSlot.MatchString(s.Slot) {
		v.failf("source.slot", "must be a-z, 0-9 and _, at most 63")
	}
	if len(s.Publication) > maxIdentifier {
		v.failf("source.publication", "must be at most %d bytes long", maxIdentifier)
	}
	v.oneOf("source.tinyint1", s.Tinyint1)
	v.oneOf("source.invalid_utf8", s.InvalidUTF8)
	v.atLeast("source.snapshot.chunk_rows", int64(s.Snapshot.ChunkRows), 1)
	v.atLeast("source.snapshot.parallel", int64(s.Snapshot.Parallel), 1)
	v.atLeast("source.snapshot.max_rows_per_second", int64(s.Snapshot.MaxRowsPerSecond), 0)
	if len(v.errs) > before {
		return
	}
	source, err := c.OpenSource(zerolog.Nop())
	if err != nil {
		v.failf("source.url", "%v", innermost(err))
		return
	}
	source.Close()
}

// innermost is the part of an error that says what is wrong with a setting,
// without the part that says where: the line does that.
func innermost(err error) error {
	if url, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		return url
	}
	if _, reason, ok := strings.Cut(err.Error(), "parse source.url: "); ok {
		return errors.New(reason)
	}
	return err
}

// validateURL never repeats the URL: it may hold a password.
func (v *validation) validateURL(path string, secret conf.Secret) {
	const example = "write it like postgres://user@host:5432/database, or with mysql:// or mariadb://"
	if secret == "" {
		v.failf(path, "the database's URL is missing; %s", example)
		return
	}
	u, err := url.Parse(secret.Reveal())
	switch {
	case err != nil || u.Scheme == "" || u.Opaque != "":
		v.failf(path, "is not a URL; %s, and a special character in a user name or password as %%40", example)
	case !slices.Contains([]string{"postgres", "postgresql", "mysql", "mariadb"}, u.Scheme):
		v.failf(path, "the scheme is not known; %s", example)
	case u.Query().Has("password"):
		v.failf(path, "must not hold the password as a parameter; write it like postgres://user:password@host, or use password_file")
	}
}

// hasBinaryLog reports whether the URL is of a server that keeps its log by its own rules.
func hasBinaryLog(secret conf.Secret) bool {
	u, err := url.Parse(secret.Reveal())
	return err == nil && (u.Scheme == "mysql" || u.Scheme == "mariadb")
}

func (c *Config) validateSink(v *validation) {
	es, nd := c.Sink.Elasticsearch, c.Sink.NDJSON
	switch {
	case es != nil && nd != nil:
		v.failf("sink", "there are two sinks; keep elasticsearch or ndjson")
	case es == nil && nd == nil:
		v.failf("sink", "there is no sink; add elasticsearch or ndjson")
	}
	if nd != nil && nd.Path == "" {
		v.failf("sink.ndjson.path", `must name a file, or be "-" for standard output`)
	}
	if es != nil {
		c.validateElasticsearch(v)
	}
}

func (c *Config) validateElasticsearch(v *validation) {
	const at = "sink.elasticsearch."
	es, before := c.Sink.Elasticsearch, len(v.errs)
	switch {
	case len(es.Addresses) == 0 && es.CloudID == "":
		v.failf(at+"addresses", "there is no address; write it like [https://localhost:9200], or set cloud_id")
	case len(es.Addresses) > 0 && es.CloudID != "":
		v.failf(at+"cloud_id", "there are addresses, too; keep one of them")
	}
	for i := range es.Addresses {
		v.validateAddress(fmt.Sprintf("%saddresses.%d", at, i), &es.Addresses[i])
	}
	hasPassword := es.Password != "" || es.PasswordFile != ""
	hasKey := es.APIKey != "" || es.APIKeyFile != ""
	switch {
	case hasKey && (es.Username != "" || hasPassword):
		v.failf(at+"username", "there is an API key, too; keep one of them")
	case es.Username != "" && !hasPassword:
		v.failf(at+"username", "there is no password; add password or password_file")
	case es.Username == "" && hasPassword:
		v.failf(at+"password", "there is no username")
	}
	if es.CACert != "" && es.CAFingerprint != "" {
		v.failf(at+"ca_fingerprint", "there is a ca_cert, too; keep one of them")
	}
	v.oneOf(at+"flavor", es.Flavor)
	v.atLeastBytes(at+"bulk.max_bytes", es.Bulk.MaxBytes, 1<<10)
	v.atLeast(at+"bulk.lanes", int64(es.Bulk.Lanes), 1)
	if len(v.errs) > before {
		return
	}
	sink, err := c.OpenSink(zerolog.Nop())
	if err != nil {
		v.failf("sink.elasticsearch", "%s", strings.TrimPrefix(err.Error(), "sink.elasticsearch: "))
		return
	}
	sink.Close()
}

// validateAddress blanks an address that holds a password, so that it shows nowhere.
func (v *validation) validateAddress(path string, address *string) {
	u, err := url.Parse(*address)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		v.failf(path, "is not an address; write it like https://localhost:9200")
	case u.User != nil:
		v.failf(path, "must not hold a user or password; set username and password, or api_key")
	default:
		return
	}
	*address = ""
}

// minMemory is what the pipeline needs to make progress at all.
const minMemory = 16 << 20

func (c *Config) validateHTTP(v *validation) {
	if c.HTTP.Listen == "" {
		return
	}
	host, port, err := net.SplitHostPort(c.HTTP.Listen)
	if err != nil || port == "" {
		v.failf("http.listen", "is not an address; write it like 127.0.0.1:9600")
		return
	}
	if !loopback(host) && c.HTTP.Token == "" {
		v.failf("http.listen", "listens beyond this machine; set http.token, too, or listen on 127.0.0.1")
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
