package elasticsearch

import "haystream/internal/conf"

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
