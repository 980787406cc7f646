package main

import (
	"context"
	"time"

	"haystream/internal/servers"
)

// A database holds the table that is replicated, and has the baselines: the
// fastest plain clients that there are. Its methods are for one goroutine.
type database interface {
	// url is what the daemon reads from.
	url() string

	// scan times a client that reads the whole table and throws it away.
	scan(ctx context.Context) (time.Duration, error)

	// keepLog begins what follow reads.
	keepLog(ctx context.Context) error

	// update changes every row, committing after every so many.
	update(ctx context.Context, perTransaction int) error

	// drain times a client that reads what the server sends of the log since
	// keepLog, and looks at no more of it than where it ends.
	drain(ctx context.Context, round int) (time.Duration, error)

	// follow times a client that decodes that log. Each round may be asked for
	// once, after drain, and there are as many as rounds.
	follow(ctx context.Context, round int) (time.Duration, error)

	// dropLog lets go of log that is kept for anybody, pipelines included.
	dropLog(ctx context.Context) error

	// connect opens one more connection, which writes.
	connect(ctx context.Context) (session, error)

	close()
}

// A session is one connection. It is not for concurrent use.
type session interface {
	exec(ctx context.Context, sql string) error
	close()
}

// A product is a database that can be measured.
type product struct {
	name                string
	server              servers.Spec
	scan, drain, follow string  // what the baselines are
	share               float64 // wanted of drain's speed at least
	open                func(ctx context.Context, server *servers.Server, rows int) (database, error)
}

func products() []product {
	binlog := func(name, kind, version string) product {
		return product{
			name: name, server: servers.Spec{Kind: kind, Version: version, Args: quietMySQL(kind)},
			scan: "SELECT", drain: "binlog dump", follow: "go-mysql", share: 0.8, open: openMySQL,
		}
	}
	return []product{
		{
			name: "PostgreSQL", server: servers.Spec{Kind: servers.Postgres, Version: "15", Args: quietPostgres()},
			scan: "COPY", drain: "walsender", follow: "pg_recvlogical", share: 0.95, open: openPostgres,
		},
		binlog("MySQL", servers.MySQL, "8.0"),
		binlog("MariaDB", servers.MariaDB, "11.8"),
	}
}

// kinds are the names that the products are chosen by.
func kinds() []string {
	var all []string
	for _, p := range products() {
		all = append(all, p.server.Kind)
	}
	return all
}
