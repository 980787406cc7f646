package servers_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"haystream/internal/servers"
)

// parentOf makes this test binary the parent of one server, for the tests that kill it.
const parentOf = "SERVERS_TEST_PARENT_OF"

func TestMain(m *testing.M) {
	if version := os.Getenv(parentOf); version != "" {
		os.Exit(parent(version))
	}
	code := m.Run()
	search.Stop()
	os.Exit(code)
}

// parent starts a server, prints its data directory and waits to be killed.
func parent(version string) int {
	server, err := servers.Start(context.Background(), servers.Spec{Kind: servers.Postgres, Version: version})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(server.Data())
	_, _ = os.Stdin.Read(make([]byte, 1))
	return 0
}
