package postgres_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"

	"haystream/internal/conf"
	"haystream/internal/servers"
	"haystream/sources"
	"haystream/sources/postgres"
	"haystream/sources/sourcetest"
)

// TestConformance runs the suite of all sources.
func TestConformance(t *testing.T) {
	for _, version := range servers.PostgresVersions() {
		t.Run(version, func(t *testing.T) {
			server := servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: version})
			h := harness(server)
			var err error
			if h.Version, err = strconv.Atoi(version); err != nil {
				t.Fatal(err)
			}
			sourcetest.Run(t, h)
		})
	}
}

func harness(server *servers.Server) sourcetest.Harness {
	return sourcetest.Harness{
		Schema: "public",
		Types:  "../../testdata/postgres/types.txt",
		Unless: func(table, values string) string {
			return "INSERT INTO " + table + " VALUES (" + values + ") ON CONFLICT DO NOTHING"
		},
		Source: func(t testing.TB, name string) sources.Source {
			source, err := postgres.New(sources.Config{URL: conf.Secret(server.URL), Slot: name, Publication: name}, zerolog.New(zerolog.NewTestWriter(t)))
			if err != nil {
				t.Fatal(err)
			}
			return source
		},
		Open: func(ctx context.Context) (sourcetest.Session, error) {
			conn, err := pgx.Connect(ctx, server.URL)
			return session{conn}, err
		},
		Interrupt: func(ctx context.Context, name string) error {
			conn, err := pgx.Connect(ctx, server.URL)
			if err != nil {
				return err
			}
			defer conn.Close(ctx)
			var cut bool
			return conn.QueryRow(ctx, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1", name).Scan(&cut)
		},
	}
}

// session is the suite's view of a connection.
type session struct{ conn *pgx.Conn }

func (s session) Close() { _ = s.conn.Close(context.Background()) }

func (s session) Exec(ctx context.Context, statements ...string) error {
	for _, statement := range statements {
		if _, err := s.conn.PgConn().Exec(ctx, statement).ReadAll(); err != nil {
			return fmt.Errorf("%.100s: %w", statement, err)
		}
	}
	return nil
}

func (s session) Query(ctx context.Context, query string) ([][]string, error) {
	results, err := s.conn.PgConn().Exec(ctx, query).ReadAll()
	if err != nil {
		return nil, err
	}
	return texts(results[0]), nil
}

func texts(result *pgconn.Result) [][]string {
	rows := make([][]string, len(result.Rows))
	for i, row := range result.Rows {
		for _, value := range row {
			if value == nil {
				rows[i] = append(rows[i], "NULL")
				continue
			}
			rows[i] = append(rows[i], string(value))
		}
	}
	return rows
}
