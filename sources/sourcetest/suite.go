// Package sourcetest is the conformance suite of sources.Source: what every
// source must do, run by each against a real server.
//
// The guarantee: the suite speaks only SQL that PostgreSQL, MySQL and MariaDB
// share, asks nothing of a source but its contract, and takes the truth from a
// plain query. Its goroutines have ended when Run returns.
package sourcetest

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"haystream/sources"
)

// A Harness is what one kind of source brings.
type Harness struct {
	// Schema is where a session's tables without a schema are.
	Schema string

	// Types is the file of the server's types with their values, and Version
	// counts the server as that file does (see typecases).
	Types   string
	Version int

	// Unless inserts a row where it is no duplicate of one.
	Unless func(table, values string) string

	// Source makes a source of a pipeline's name, which is a word of small
	// letters: two of one name stand for two daemons of one pipeline. The suite
	// removes and closes it.
	Source func(t testing.TB, name string) sources.Source

	// Open opens a session. The suite closes it.
	Open func(ctx context.Context) (Session, error)

	// Interrupt cuts the connection that a stream of that name runs on, in
	// whatever way the server allows.
	Interrupt func(ctx context.Context, name string) error
}

// A Session is a connection to the server that the source tails.
type Session interface {
	// Exec runs statements one by one.
	Exec(ctx context.Context, statements ...string) error

	// Query returns rows as text, a NULL as "NULL".
	Query(ctx context.Context, query string) ([][]string, error)

	Close()
}

// Run runs the suite. Its tests do not run in parallel, but each has tables
// and a source of its own.
func Run(t *testing.T, h Harness) {
	cases := []struct {
		name string
		test func(*fixture)
	}{
		{"rows", testRows},
		{"keychange", testKeyChange},
		{"compositekey", testCompositeKey},
		{"keytypes", testKeyTypes},
		{"truncate", testTruncate},
		{"rollback", testRollback},
		{"savepoint", testSavepoint},
		{"interleaved", testInterleaved},
		{"tables", testTables},
		{"projection", testProjection},
		{"large", testLarge},
		{"replay", testReplay},
		{"acknowledged", testAcknowledged},
		{"unacknowledged", testUnacknowledged},
		{"reconnect", testReconnect},
		{"cancel", testCancel},
		{"busy", testBusy},
		{"schema", testSchemaChanged},
		{"remove", testRemove},
		{"chunks", testChunks},
		{"chunkbytes", testChunkBytes},
		{"values", testValues},
		{"idle", testIdle},
		{"convergence", testConvergence},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			// Cleanups run last to first: this one after the fixture's.
			t.Cleanup(func() { goleak.VerifyNone(t, before) })
			c.test(newFixture(t, h, c.name))
		})
	}
}
