package mysql

import (
	"os"
	"testing"

	"haystream/internal/servers"
)

// fleet has one server of each version, for all tests that leave it as it was.
var fleet = newFleet()

func newFleet() []*servers.Shared {
	var all []*servers.Shared
	for kind, versions := range map[string][]string{servers.MySQL: servers.MySQLVersions(), servers.MariaDB: servers.MariaDBVersions()} {
		for _, version := range versions {
			// The socket's name is within the data directory.
			all = append(all, &servers.Shared{Spec: servers.Spec{Kind: kind, Version: version, Args: []string{"--socket=s"}}})
		}
	}
	return all
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, server := range fleet {
		server.Stop()
	}
	os.Exit(code)
}

// eachServer runs work on each server of the fleet.
func eachServer(t *testing.T, work func(*box)) {
	t.Helper()
	for _, server := range fleet {
		t.Run(server.Spec.String(), func(t *testing.T) { work(newBox(t, server.Get(t).URL)) })
	}
}
