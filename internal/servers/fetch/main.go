// Command fetch makes sure that everything which the tests take beside Go is there, and says what it waits for.
// With HAYSTREAM_TEST_VERSIONS=all it fetches those of the nightly run too.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"time"

	"haystream/internal/servers"
)

func main() {
	if err := fetch(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func fetch() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := servers.FetchCompiler(ctx); err != nil {
		return err
	}
	var specs []servers.Spec
	add := func(kind string, versions []string) {
		for _, version := range versions {
			specs = append(specs, servers.Spec{Kind: kind, Version: version})
		}
	}
	add(servers.Postgres, servers.PostgresVersions())
	add(servers.Elasticsearch, servers.ElasticsearchVersions())
	add(servers.OpenSearch, servers.OpenSearchVersions())
	add(servers.MySQL, servers.MySQLVersions())
	add(servers.MariaDB, servers.MariaDBVersions())
	for _, spec := range specs {
		begin := time.Now()
		home, err := servers.Fetch(ctx, spec)
		if spec.MaySkip(err) {
			fmt.Printf("%-20s NOT AVAILABLE, its tests are skipped: %v\n", spec, err)
			continue
		}
		if err != nil {
			return err
		}
		fmt.Printf("%-20s %s (%.1f s)\n", spec, home, time.Since(begin).Seconds())
	}
	return nil
}
