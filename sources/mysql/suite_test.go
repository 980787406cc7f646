package mysql_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/rs/zerolog"

	"haystream/internal/conf"
	"haystream/internal/servers"
	"haystream/sources"
	"haystream/sources/mysql"
	"haystream/sources/sourcetest"
)

const database = "suite"

// TestConformance runs the suite of all sources.
func TestConformance(t *testing.T) {
	for _, spec := range specs() {
		t.Run(spec.Kind+spec.Version, func(t *testing.T) { sourcetest.Run(t, harness(t, servers.Test(t, spec), "")) })
	}
}

// TestConformanceUnderSettings runs the suite where the log has other forms.
func TestConformanceUnderSettings(t *testing.T) {
	noGTIDs := []string{"--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"}
	settings := []struct {
		name, kind, params string
		args               []string
		nightly            bool
	}{
		{name: "no GTIDs", kind: servers.MySQL, args: append([]string{"--binlog-checksum=NONE", "--binlog-transaction-compression=ON"}, noGTIDs...)},
		{name: "plain", kind: servers.MySQL, args: append([]string{"--binlog-row-metadata=MINIMAL", "--binlog-order-commits=OFF"}, noGTIDs...), nightly: true},
		{name: "compressed", kind: servers.MySQL, args: []string{"--binlog-transaction-compression=ON"}, nightly: true},
		{name: "TLS", kind: servers.MySQL, params: "?ssl-mode=REQUIRED", args: []string{"--binlog-row-metadata=MINIMAL", "--binlog-order-commits=OFF"}, nightly: true},
		{name: "compressed", kind: servers.MariaDB, args: []string{"--log-bin-compress=ON", "--log-bin-compress-min-len=10", "--binlog-checksum=NONE"}, nightly: true},
		{name: "unnamed", kind: servers.MariaDB, args: []string{"--binlog-row-metadata=NO_LOG", "--loose-binlog-row-image=FULL_NODUP"}, nightly: true},
		{name: "legacy", kind: servers.MariaDB, args: []string{"--binlog-row-metadata=MINIMAL", "--log-slave-updates=ON", "--gtid-domain-id=7", "--encrypt-binlog=OFF"}, nightly: true},
	}
	all := os.Getenv("HAYSTREAM_TEST_VERSIONS") == "all"
	for _, s := range settings {
		for _, spec := range specs() {
			if spec.Kind != s.kind || s.nightly && !all {
				continue
			}
			spec.Args = s.args
			t.Run(s.name+"/"+spec.Kind+spec.Version, func(t *testing.T) { sourcetest.Run(t, harness(t, servers.Test(t, spec), s.params)) })
		}
	}
}

func specs() []servers.Spec {
	var all []servers.Spec
	for _, version := range servers.MySQLVersions() {
		all = append(all, servers.Spec{Kind: servers.MySQL, Version: version})
	}
	for _, version := range servers.MariaDBVersions() {
		all = append(all, servers.Spec{Kind: servers.MariaDB, Version: version})
	}
	return all
}

func harness(t *testing.T, server *servers.Server, params string) sourcetest.Harness {
	t.Helper()
	conn := connect(t.Context(), t, server, "")
	if _, err := conn.Execute("CREATE DATABASE " + database + " CHARACTER SET utf8mb4"); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(conn.GetServerVersion(), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return sourcetest.Harness{
		Schema:  database,
		Types:   "../../testdata/" + server.Kind + "/types.txt",
		Version: 100*major + minor,
		Unless: func(table, values string) string {
			return "INSERT IGNORE INTO " + table + " VALUES (" + values + ")"
		},
		Source: func(t testing.TB, name string) sources.Source {
			url := conf.Secret(server.URL + database + params)
			source, err := mysql.New(sources.Config{URL: url, Slot: name}, zerolog.New(zerolog.NewTestWriter(t)))
			if err != nil {
				t.Fatal(err)
			}
			return source
		},
		Open: func(ctx context.Context) (sourcetest.Session, error) {
			conn, err := client.ConnectWithContext(ctx, server.Addr, "root", "", database, 0)
			if err != nil {
				return nil, err
			}
			// The library's own collation is unknown to MariaDB, which then takes the server's.
			_, err = conn.Execute("SET NAMES utf8mb4, sql_mode = 'ALLOW_INVALID_DATES'")
			return session{conn}, err
		},
		Interrupt: func(ctx context.Context, name string) error {
			conn, err := client.ConnectWithContext(ctx, server.Addr, "root", "", database, 0)
			if err != nil {
				return err
			}
			defer conn.Close()
			result, err := conn.Execute("SELECT IS_USED_LOCK('haystream/" + name + "')")
			if err != nil {
				return err
			}
			id, err := result.GetInt(0, 0)
			if err != nil {
				return err
			}
			_, err = conn.Execute(fmt.Sprintf("KILL %d", id))
			return err
		},
	}
}

func connect(ctx context.Context, t *testing.T, server *servers.Server, database string) *client.Conn {
	t.Helper()
	conn, err := client.ConnectWithContext(ctx, server.Addr, "root", "", database, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// session is the suite's view of a connection.
type session struct{ conn *client.Conn }

func (s session) Close() { _ = s.conn.Close() }

func (s session) Exec(_ context.Context, statements ...string) error {
	for _, statement := range statements {
		if _, err := s.conn.Execute(statement); err != nil {
			return fmt.Errorf("%.100s: %w", statement, err)
		}
	}
	return nil
}

func (s session) Query(_ context.Context, query string) ([][]string, error) {
	result, err := s.conn.Execute(query)
	if err != nil {
		return nil, err
	}
	rows := make([][]string, result.RowNumber())
	for i := range rows {
		for c := range result.ColumnNumber() {
			text := "NULL"
			if null, err := result.IsNull(i, c); err == nil && !null {
				if text, err = result.GetString(i, c); err != nil {
					return nil, err
				}
			}
			rows[i] = append(rows[i], strings.Clone(text))
		}
	}
	return rows, nil
}
