package servers_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"haystream/internal/servers"
)

func TestPostgresStarts(t *testing.T) {
	for _, version := range servers.PostgresVersions() {
		t.Run(version, func(t *testing.T) {
			server := servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: version})
			if got := ask(t, server, "SHOW wal_level"); got != "logical" {
				t.Errorf("wal_level = %q, want logical", got)
			}
		})
	}
}

// ask runs a query that answers one text.
func ask(t *testing.T, server *servers.Server, query string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var answer string
	if err := conn.QueryRow(t.Context(), query).Scan(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestElasticsearchStarts(t *testing.T) {
	for _, version := range servers.ElasticsearchVersions() {
		t.Run(version, func(t *testing.T) {
			servers.Test(t, servers.Spec{Kind: servers.Elasticsearch, Version: version})
		})
	}
}
