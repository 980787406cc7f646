package servers_test

import (
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/client"

	"haystream/internal/servers"
)

func TestMySQLKeepsRowsAndLogThroughKill(t *testing.T) {
	for _, spec := range append(specs(servers.MySQL, servers.MySQLVersions()), specs(servers.MariaDB, servers.MariaDBVersions())...) {
		t.Run(spec.String(), func(t *testing.T) {
			spec.Args = []string{"--binlog-row-metadata=MINIMAL"}
			server := servers.Test(t, spec)
			if got := query(t, server, "SELECT VERSION()"); !strings.HasPrefix(got, spec.Version+".") {
				t.Errorf("version = %s, want %s", got, spec.Version)
			}
			if got := query(t, server, "SELECT @@log_bin, @@binlog_format, @@binlog_row_metadata"); got != "1|ROW|MINIMAL" {
				t.Errorf("log = %s, want 1|ROW|MINIMAL: the spec's arguments come last", got)
			}
			query(t, server, "CREATE TABLE mysql.kept (id INT PRIMARY KEY)")
			query(t, server, "INSERT INTO mysql.kept VALUES (7)")
			before := committed(t, server)
			if len(processesOf(server.Data())) == 0 {
				t.Fatal("the server's process is not seen")
			}
			if err := server.Kill(); err != nil {
				t.Fatal(err)
			}
			if left := processesOf(server.Data()); len(left) > 0 {
				t.Errorf("left alive: %v", left)
			}
			if err := server.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := query(t, server, "SELECT id FROM mysql.kept"); got != "7" {
				t.Errorf("after a kill the row is %q", got)
			}
			if after := committed(t, server); after != before || after == "" {
				t.Errorf("after a kill the log holds %q, before %q", after, before)
			}
		})
	}
}

func TestServersOfOneVersionAreDifferentSources(t *testing.T) {
	seen := map[string]bool{}
	for range 2 {
		server := servers.Test(t, servers.Spec{Kind: servers.MySQL, Version: "8.0"})
		seen[query(t, server, "SELECT @@server_uuid")] = true
	}
	if len(seen) != 2 {
		t.Errorf("both are %v", seen)
	}
}

func specs(kind string, versions []string) []servers.Spec {
	var all []servers.Spec
	for _, version := range versions {
		all = append(all, servers.Spec{Kind: kind, Version: version})
	}
	return all
}

// committed returns the GTIDs of what the server's log holds.
func committed(t *testing.T, server *servers.Server) string {
	t.Helper()
	if server.Kind == servers.MariaDB {
		return query(t, server, "SELECT @@gtid_binlog_pos")
	}
	return query(t, server, "SELECT @@gtid_executed")
}

// query runs a statement of MySQL or MariaDB and returns the only row that it answers; empty: none.
func query(t *testing.T, server *servers.Server, statement string) string {
	t.Helper()
	conn, err := client.Connect(server.Addr, "root", "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Quit()
	result, err := conn.Execute(statement)
	if err != nil {
		t.Fatal(err)
	}
	if result.Resultset == nil || result.RowNumber() == 0 {
		return ""
	}
	var columns []string
	for i := range result.ColumnNumber() {
		text, err := result.GetString(0, i)
		if err != nil {
			t.Fatal(err)
		}
		columns = append(columns, text)
	}
	return strings.Join(columns, "|")
}
