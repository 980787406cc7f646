package sources

import "haystream/internal/conf"

// Config is the `source:` section.
type Config struct {
	// URL of the database: postgres://user@host:5432/database, or with mysql:// or
	// mariadb://. TLS parameters (sslmode, sslrootcert, …; ssl-mode, ssl-ca, …) are
	// written in it as the database's own users write them.
	URL conf.Secret `yaml:"url"`

	// PasswordFile holds the password, where the URL has none.
	PasswordFile string `yaml:"password_file"`

	// Slot is the replication slot's name; created when missing. For MySQL and
	// MariaDB it names the lock that the one daemon of the pipeline holds.
	Slot string `yaml:"slot"`

	// Publication is the publication's name; created or altered to exactly the
	// tables in use, when allowed to. PostgreSQL only.
	Publication string `yaml:"publication"`

	// ServerID is the id under which the daemon is among the replicas of MySQL or
	// MariaDB, unlike that of any other server; derived from the name when 0.
	ServerID uint32 `yaml:"server_id"`

	// Tinyint1 is what columns of the type TINYINT(1) hold: boolean, or number.
	// MySQL and MariaDB only.
	Tinyint1 string `yaml:"tinyint1"`

	// InvalidUTF8 says what becomes of texts that cannot be made UTF-8: replace, each
	// byte at fault becomes U+FFFD; or dead_letter, the document is refused.
	InvalidUTF8 string `yaml:"invalid_utf8"`

	// Snapshot says how existing rows are read.
	Snapshot SnapshotConfig `yaml:"snapshot"`

	// Messages asks for the messages in the log that are for Haystream, where the
	// server has such: a definition is over events. Not a setting of its own.
	Messages bool `yaml:"-"`

	// Password is the URL's or PasswordFile's content; not a setting of its own.
	Password conf.Secret `yaml:"-"`
}

// What Config.Tinyint1 may be.
const (
	Tinyint1Boolean = "boolean"
	Tinyint1Number  = "number"
)

// What InvalidUTF8 may be.
const (
	InvalidReplace    = "replace"
	InvalidDeadLetter = "dead_letter"
)

// SnapshotConfig is the `source.snapshot:` section.
type SnapshotConfig struct {
	// ChunkRows is how many rows one chunk reads at most.
	ChunkRows int `yaml:"chunk_rows"`

	// Parallel is how many tables are read at a time.
	Parallel int `yaml:"parallel"`

	// MaxRowsPerSecond throttles reading; 0 does not.
	MaxRowsPerSecond int `yaml:"max_rows_per_second"`
}
