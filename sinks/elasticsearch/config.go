package elasticsearch

import (
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"haystream/internal/conf"
	"haystream/sinks"
	"haystream/sinks/bulk"
)

// Flavors of server.
const (
	FlavorElasticsearch = "elasticsearch"
	FlavorOpenSearch    = "opensearch"
)

// Config is the `sink.elasticsearch:` section.
type Config struct {
	// Addresses of the nodes, such as https://es:9200. Requests go to each in
	// turn; a node that does not answer is left out for a while.
	Addresses []string `yaml:"addresses"`

	// CloudID names a deployment in Elastic Cloud, instead of addresses.
	CloudID string `yaml:"cloud_id"`

	// APIKey is an API key in its encoded form.
	APIKey conf.Secret `yaml:"api_key"`

	// APIKeyFile holds the API key, instead of api_key.
	APIKeyFile string `yaml:"api_key_file"`

	// Username for basic authentication, instead of an API key.
	Username string `yaml:"username"`

	// Password of that user.
	Password conf.Secret `yaml:"password"`

	// PasswordFile holds the password, instead of password.
	PasswordFile string `yaml:"password_file"`

	// CACert is a PEM file with the authorities that the servers' certificates
	// are checked against. The default is the system's.
	CACert string `yaml:"ca_cert"`

	// CAFingerprint is the SHA-256 of the authority's certificate in hex, as
	// Elasticsearch prints it at its first start, instead of ca_cert.
	CAFingerprint string `yaml:"ca_fingerprint"`

	// Flavor of the servers: elasticsearch or opensearch.
	Flavor string `yaml:"flavor"`

	// Bulk says how documents are sent.
	Bulk BulkConfig `yaml:"bulk"`

	// Compression sends requests as gzip.
	Compression bool `yaml:"compression"`
}

// NewConfig has every default.
func NewConfig() *Config {
	return &Config{
		Flavor:      FlavorElasticsearch,
		Bulk:        BulkConfig{MaxBytes: 5 << 20, MaxWait: conf.Duration(100 * time.Millisecond), Lanes: 4},
		Compression: true,
	}
}

// Flavors are the valid ones.
func Flavors() []string { return []string{FlavorElasticsearch, FlavorOpenSearch} }

// Rules are those of both flavors.
func (c *Config) Rules() sinks.Rules {
	rules := bulk.Rules()
	rules.Searches = true
	return rules
}

// Complete reads the files that settings name, and reports what cannot be used.
func (c *Config) Complete(at *conf.Section) {
	c.CACert = at.Beside(c.CACert)
	at.Secret("api_key_file", c.APIKeyFile, &c.APIKey, "api_key")
	at.Secret("password_file", c.PasswordFile, &c.Password, "password")
	before := len(at.Errs)
	switch {
	case len(c.Addresses) == 0 && c.CloudID == "":
		at.Failf("addresses", "there is no address; write it like [https://localhost:9200], or set cloud_id")
	case len(c.Addresses) > 0 && c.CloudID != "":
		at.Failf("cloud_id", "there are addresses, too; keep one of them")
	}
	for i := range c.Addresses {
		checkAddress(at, fmt.Sprintf("addresses.%d", i), &c.Addresses[i])
	}
	hasPassword, hasKey := c.Password != "" || c.PasswordFile != "", c.APIKey != "" || c.APIKeyFile != ""
	switch {
	case hasKey && (c.Username != "" || hasPassword):
		at.Failf("username", "there is an API key, too; keep one of them")
	case c.Username != "" && !hasPassword:
		at.Failf("username", "there is no password; add password or password_file")
	case c.Username == "" && hasPassword:
		at.Failf("password", "there is no username")
	}
	if c.CACert != "" && c.CAFingerprint != "" {
		at.Failf("ca_fingerprint", "there is a ca_cert, too; keep one of them")
	}
	at.OneOf("flavor", c.Flavor, Flavors())
	at.AtLeastBytes("bulk.max_bytes", c.Bulk.MaxBytes, 1<<10)
	at.AtLeast("bulk.lanes", int64(c.Bulk.Lanes), 1)
	if c.Bulk.MaxBytes > math.MaxInt32 {
		at.Failf("bulk.max_bytes", "must be below 2GiB")
	}
	if c.Bulk.Lanes > 256 {
		at.Failf("bulk.lanes", "must be at most 256")
	}
	if len(at.Errs) > before {
		return
	}
	sink, err := New(*c, sinks.Options{}, zerolog.Nop())
	if err != nil {
		at.Failf("", "%s", strings.TrimPrefix(err.Error(), "sink.elasticsearch: "))
		return
	}
	sink.Close()
}

// checkAddress blanks an address that holds a password, so that it shows nowhere.
func checkAddress(at *conf.Section, path string, address *string) {
	u, err := url.Parse(*address)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		at.Failf(path, "is not an address; write it like https://localhost:9200")
	case u.User != nil:
		at.Failf(path, "must not hold a user or password; set username and password, or api_key")
	default:
		return
	}
	*address = ""
}

// BulkConfig is the `sink.elasticsearch.bulk:` section.
type BulkConfig struct {
	// MaxBytes is the largest request before compression. A single larger
	// document goes alone.
	MaxBytes conf.Bytes `yaml:"max_bytes"`

	// MaxWait is how long a change waits at most for others to share a request
	// with. A lane that was idle does not wait at all.
	MaxWait conf.Duration `yaml:"max_wait"`

	// Lanes is how many requests are in flight at a time. A document is always
	// in the same lane, which keeps its changes in order.
	Lanes int `yaml:"lanes"`
}
