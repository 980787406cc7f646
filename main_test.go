package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"haystream/internal/servers"
)

var update = flag.Bool("update", false, "write the expected output in testdata/script anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"haystream": main})
}

// TestCommands runs the scripts in testdata/script. Each has a database of its
// own ($DATABASE_URL, user postgres), an Elasticsearch that it shares
// ($ELASTICSEARCH_URL), a free address ($LISTEN), and beside it config.example.yaml
// and the demo's schema.sql. $REPLICA_URL is a server with wal_level=replica.
func TestCommands(t *testing.T) {
	postgres := servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: "15"})
	replica := servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: "15", Args: []string{"-c", "wal_level=replica"}})
	search := servers.Test(t, servers.Spec{Kind: servers.Elasticsearch, Version: "8.19"})
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		UpdateScripts:       *update,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "sql": sql, "search": request, "await": await, "push": push,
		},
		Setup: func(env *testscript.Env) error {
			name := strings.ReplaceAll(strings.TrimPrefix(env.Vars[0], "WORK="), "/", "_")
			name = "script_" + name[strings.LastIndexByte(name, '-')+1:]
			if err := execute(postgres.URL, "CREATE DATABASE "+name); err != nil {
				return err
			}
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			for name, path := range map[string]string{"example.yaml": "config.example.yaml", "schema.sql": "internal/demo/postgres.sql"} {
				if err := copyFile(path, filepath.Join(env.WorkDir, name)); err != nil {
					return err
				}
			}
			env.Setenv("NAME", name)
			env.Setenv("LISTEN", listener.Addr().String())
			env.Setenv("POSTGRES", postgres.Addr)
			env.Setenv("DATABASE_URL", strings.Replace(postgres.URL, "/postgres?", "/"+name+"?", 1))
			env.Setenv("REPLICA_URL", replica.URL)
			env.Setenv("ELASTICSEARCH_URL", search.URL)
			return listener.Close()
		},
	})
}

func execute(url, statement string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o600)
}

// exits N PROGRAM ARG…: the program must end with this exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N PROGRAM ARG…")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if ended, ok := errors.AsType[*exec.ExitError](err); ok {
		code = ended.ExitCode()
	} else {
		ts.Check(err)
	}
	if want, err := strconv.Atoi(args[0]); err != nil || code != want {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// sql STATEMENT…: executes each, @FILE stands for a file's. The first column of their rows is printed.
func sql(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: sql STATEMENT…")
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, ts.Getenv("DATABASE_URL"))
	ts.Check(err)
	for _, statement := range args {
		if file, ok := strings.CutPrefix(statement, "@"); ok {
			statement = ts.ReadFile(file)
		}
		results, err := conn.PgConn().Exec(ctx, statement).ReadAll()
		ts.Check(err)
		for _, result := range results {
			for _, row := range result.Rows {
				_, err := fmt.Fprintf(ts.Stdout(), "%s\n", row[0])
				ts.Check(err)
			}
		}
	}
	ts.Check(conn.Close(ctx))
}

// search METHOD PATH [BODY]: asks Elasticsearch and prints the answer.
func request(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: search METHOD PATH [BODY]")
	}
	req, err := http.NewRequestWithContext(context.Background(), args[0], ts.Getenv("ELASTICSEARCH_URL")+args[1], strings.NewReader(strings.Join(args[2:], "")))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(req)
	ts.Check(err)
	_, err = io.Copy(ts.Stdout(), response.Body)
	ts.Check(errors.Join(err, response.Body.Close()))
	if neg != (response.StatusCode >= 400) {
		ts.Fatalf("%s %s: %s", args[0], args[1], response.Status)
	}
}

// push NAME EVENT: pushes an event to the daemon, which takes it, and prints the answer.
func push(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: push NAME EVENT")
	}
	response, err := http.Post("http://"+ts.Getenv("LISTEN")+"/events/"+args[0], "application/json", strings.NewReader(args[1])) // the script's end ends it
	ts.Check(err)
	_, err = io.Copy(ts.Stdout(), response.Body)
	ts.Check(errors.Join(err, response.Body.Close()))
	if response.StatusCode != http.StatusAccepted {
		ts.Fatalf("push %s: %s", args[0], response.Status)
	}
}

// await REGEXP PROGRAM ARG…: runs the program until it succeeds and its output matches.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await REGEXP PROGRAM ARG…")
	}
	wanted, err := regexp.Compile(args[0])
	ts.Check(err)
	ticks := time.NewTicker(100 * time.Millisecond)
	defer ticks.Stop()
	deadline := time.After(time.Minute)
	for {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && wanted.MatchString(ts.ReadFile("stdout")) {
			return
		}
		select {
		case <-ticks.C:
		case <-deadline:
			ts.Fatalf("not seen in time: %s", args[0])
		}
	}
}
