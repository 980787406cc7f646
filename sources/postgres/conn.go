package postgres

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"haystream/internal/conf"
	"haystream/sources"
)

const (
	applicationName = "haystream"
	connectTimeout  = 10 * time.Second
	closeTimeout    = time.Second
	keepAliveIdle   = 15 * time.Second
	keepAliveEvery  = 5 * time.Second
	keepAliveCount  = 3
)

// parseURL reads the connection URL and pins what every connection needs.
func parseURL(cfg sources.Config) (*pgx.ConnConfig, error) {
	err := checkFiles(cfg.URL.Reveal())
	var config *pgx.ConnConfig
	if err == nil {
		config, err = pgx.ParseConfig(cfg.URL.Reveal())
	}
	if err != nil {
		return nil, fmt.Errorf("%w: parse source.url: %w", sources.ErrConfig, err)
	}
	if cfg.Password != "" {
		config.Password = cfg.Password.Reveal()
	}
	maps.Copy(config.RuntimeParams, sessionSettings())
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = applicationName
	}
	config.AfterConnect = readRaw
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: keepAliveIdle, Interval: keepAliveEvery, Count: keepAliveCount,
	}}
	config.DialFunc = dialer.DialContext
	return config, nil
}

// checkFiles looks at the files that the URL names, before the driver reads
// them: one that is no regular file may have no end.
func checkFiles(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return nil //nolint:nilerr // the driver says what is wrong with the URL
	}
	for _, name := range []string{"sslrootcert", "sslcert", "sslkey", "passfile", "servicefile"} {
		file := cmp.Or(u.Query().Get(name), os.Getenv("PG"+strings.ToUpper(name)))
		if err := conf.CheckFile(file, conf.MaxFile); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// readRaw has the server give texts as they are where it does not know their
// encoding: it would end the query, or the stream, at the first one that is not UTF-8.
func readRaw(ctx context.Context, conn *pgconn.PgConn) error {
	if conn.ParameterStatus("server_encoding") != sqlASCII {
		return nil
	}
	_, err := conn.Exec(ctx, setRaw).ReadAll()
	return err
}

// address is where the URL points to, without credentials.
func address(config *pgx.ConnConfig) string {
	return net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))) + "/" + config.Database
}

// connectReplication opens a connection that speaks the replication protocol
// and simple queries (PostgreSQL documentation, "Streaming Replication Protocol").
func (s *Source) connectReplication(ctx context.Context) (*pgconn.PgConn, error) {
	config := s.config.Config.Copy()
	config.RuntimeParams["replication"] = "database"
	config.DialFunc = gathering(config.DialFunc)
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect for replication: %w", explain(err, s.config))
	}
	if s.decode.Load() != nil {
		if _, err := conn.Exec(ctx, setRaw).ReadAll(); err != nil {
			closeReplication(conn)
			return nil, fmt.Errorf("set encoding: %w", err)
		}
	}
	return conn, nil
}

func closeReplication(conn *pgconn.PgConn) {
	// The caller's context may have ended already; the server shall be told all the same.
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = conn.Close(ctx)
}

// newPool lends connections for queries.
func newPool(config *pgx.ConnConfig) *sources.Pool[*pgx.Conn] {
	connect := func(ctx context.Context) (*pgx.Conn, error) {
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return nil, fmt.Errorf("connect: %w", err)
		}
		return conn, nil
	}
	// CheckConn would end its wait by the context, which here means to cancel whatever the connection does next.
	ping := func(ctx context.Context, conn *pgx.Conn) error { return conn.Ping(ctx) }
	usable := func(conn *pgx.Conn, _ error) bool { return !conn.IsClosed() && conn.PgConn().TxStatus() == 'I' }
	return sources.NewPool(connect, ping, usable, closeQuery)
}

// use lends a connection to work, which must leave no transaction open.
func (s *Source) use(ctx context.Context, work func(*pgx.Conn) error) error {
	return explain(s.pool.Use(ctx, work), s.config)
}

func closeQuery(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = conn.Close(ctx)
}

// serverVersion is the number of the server's version as in server_version_num,
// as far as its first number goes.
func serverVersion(conn *pgx.Conn) int {
	text := conn.PgConn().ParameterStatus("server_version")
	end := strings.IndexFunc(text, func(c rune) bool { return c < '0' || c > '9' })
	if end < 0 {
		end = len(text)
	}
	major, err := strconv.Atoi(text[:end])
	if err != nil {
		return 0
	}
	return major * 10000
}
