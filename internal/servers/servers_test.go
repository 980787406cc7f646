package servers_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"haystream/internal/servers"
)

const patience = 30 * time.Second

func TestPostgresAnswers(t *testing.T) {
	for _, version := range servers.PostgresVersions() {
		t.Run(version, func(t *testing.T) {
			server := servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: version, Args: []string{"-c", "max_wal_senders=7"}})
			if got := ask(t, server, "SHOW wal_level"); got != "logical" {
				t.Errorf("wal_level = %q, want logical", got)
			}
			if got := ask(t, server, "SHOW max_wal_senders"); got != "7" {
				t.Errorf("max_wal_senders = %q, want 7: the spec's arguments come last", got)
			}
			if got := ask(t, server, "SHOW server_version"); !strings.HasPrefix(got, version+".") {
				t.Errorf("server_version = %q, want %s", got, version)
			}
		})
	}
}

func TestOpenSearchAnswers(t *testing.T) {
	for _, version := range servers.OpenSearchVersions() {
		t.Run(version, func(t *testing.T) {
			server := servers.Test(t, servers.Spec{Kind: servers.OpenSearch, Version: version})
			if got := nodeVersion(t, http.DefaultClient, server); !strings.HasPrefix(got, version+".") {
				t.Errorf("version = %q, want %s", got, version)
			}
			const index = `{"settings":{"analysis":{"analyzer":{"stems":{"type":"snowball"}}}},` +
				`"mappings":{"properties":{"price":{"type":"scaled_float","scaling_factor":100}}}}`
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL+"/things", strings.NewReader(index))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/json")
			send(t, http.DefaultClient, request, nil)
		})
	}
}

func TestSecureElasticsearchTrustsOnlyItsUser(t *testing.T) {
	server := servers.Test(t, servers.Spec{Kind: servers.Elasticsearch, Version: "8.19", Secure: true})
	text, err := os.ReadFile(server.CACert)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if sum := sha256.Sum256(block.Bytes); hex.EncodeToString(sum[:]) != server.Fingerprint {
		t.Errorf("fingerprint = %s, the certificate's is %x", server.Fingerprint, sum)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	if got := nodeVersion(t, client, server); !strings.HasPrefix(got, "8.19.") {
		t.Errorf("version = %q, want 8.19", got)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/_nodes", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("without password: %s, want 401", response.Status)
	}
}

// search is shared by the tests that need any Elasticsearch. That each version starts is seen where the sink is tested.
var search = servers.Shared{Spec: servers.Spec{Kind: servers.Elasticsearch, Version: "8.19"}}

func TestElasticsearchAnswers(t *testing.T) {
	server := search.Get(t)
	if got := nodeVersion(t, http.DefaultClient, server); !strings.HasPrefix(got, "8.19.") {
		t.Errorf("version = %q, want 8.19", got)
	}
	if again := search.Get(t); again != server {
		t.Error("a second Get started another server")
	}
}

func TestElasticsearchPausesAndRestarts(t *testing.T) {
	server := search.Get(t)
	impatient := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	server.Pause()
	if response, err := impatient.Get(server.URL + "/_cluster/health"); err == nil {
		response.Body.Close()
		t.Error("a paused server answered")
	}
	server.Resume()
	nodeVersion(t, http.DefaultClient, server)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	nodeVersion(t, http.DefaultClient, server)
}

func TestPostgresKeepsDataThroughRestartAndKill(t *testing.T) {
	server := servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: "15"})
	ask(t, server, "CREATE TABLE kept AS SELECT 'here' AS it")
	before := server.URL
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, server, "SELECT it FROM kept"); got != "here" {
		t.Errorf("after a restart the row is %q", got)
	}
	ask(t, server, "CHECKPOINT")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, server, "SELECT it FROM kept"); got != "here" {
		t.Errorf("after a kill the row is %q", got)
	}
	if server.URL != before {
		t.Errorf("URL = %s, was %s", server.URL, before)
	}
}

func TestKillLeavesNoChildren(t *testing.T) {
	server := servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: "15"})
	conn, err := pgx.Connect(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if len(processesOf(server.Data())) < 2 {
		t.Fatal("the server's processes are not seen")
	}
	server.Pause()
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if left := processesOf(server.Data()); len(left) > 0 {
		t.Errorf("left alive: %v", left)
	}
}

func TestDirIsKept(t *testing.T) {
	dir, err := os.MkdirTemp("", "haystream-kept-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	spec := servers.Spec{Kind: servers.Postgres, Version: "15", Dir: filepath.Join(dir, "data")}
	first := servers.Test(t, spec)
	ask(t, first, "CREATE TABLE kept AS SELECT 'here' AS it")
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, servers.Test(t, spec), "SELECT it FROM kept"); got != "here" {
		t.Errorf("the row is %q", got)
	}
}

func TestServerEndsWithItsParent(t *testing.T) {
	for _, paused := range []bool{false, true} {
		name := map[bool]string{false: "running", true: "paused"}[paused]
		t.Run(name, func(t *testing.T) {
			parent := exec.Command(os.Args[0])
			parent.Env = append(os.Environ(), parentOf+"=15")
			output, err := parent.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parent.StdinPipe(); err != nil {
				t.Fatal(err)
			}
			if err := parent.Start(); err != nil {
				t.Fatal(err)
			}
			line, _ := bufio.NewReader(output).ReadString('\n')
			data := strings.TrimSpace(line)
			started := processesOf(data)
			if len(started) == 0 {
				t.Fatalf("no process of %q", line)
			}
			if paused {
				for _, pid := range started {
					if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := parent.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = parent.Wait()
			eventually(t, "the server has gone", func() bool { return len(processesOf(data)) == 0 })
			eventually(t, "its directory has gone", func() bool {
				_, err := os.Stat(filepath.Dir(data))
				return os.IsNotExist(err)
			})
		})
	}
}

func TestFailedStartNamesTheReason(t *testing.T) {
	_, err := servers.Start(t.Context(), servers.Spec{Kind: servers.Postgres, Version: "15", Args: []string{"-c", "no_such_setting=1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("error = %v, want the server's own words", err)
	}
	_, err = servers.Start(t.Context(), servers.Spec{Kind: servers.Postgres, Version: "3"})
	if !servers.Optional(err) {
		t.Errorf("error = %v, want ErrUnavailable", err)
	}
}

// ask runs a statement and returns the text that it answers.
func ask(t *testing.T, server *servers.Server, statement string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	answers, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(answers, "\n")
}

// nodeVersion asks the only node for its version.
func nodeVersion(t *testing.T, client *http.Client, server *servers.Server) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/_nodes", nil)
	if err != nil {
		t.Fatal(err)
	}
	if server.Secure {
		request.SetBasicAuth("admin", server.Password)
	}
	var answer struct {
		Nodes map[string]struct{ Version string }
	}
	send(t, client, request, &answer)
	for _, node := range answer.Nodes {
		return node.Version
	}
	return ""
}

func send(t *testing.T, client *http.Client, request *http.Request, answer any) {
	t.Helper()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s", request.Method, request.URL, response.Status)
	}
	if answer == nil {
		return
	}
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		t.Fatal(err)
	}
}

// processesOf lists the processes that work in the data directory of a database.
func processesOf(data string) []int {
	places, _ := filepath.Glob("/proc/[0-9]*/cwd")
	var found []int
	for _, path := range places {
		if place, err := os.Readlink(path); err != nil || strings.TrimSuffix(place, " (deleted)") != data {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			found = append(found, pid)
		}
	}
	return found
}

// eventually waits for the condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("not in %s: %s", patience, what)
		case <-tick.C:
		}
	}
}
