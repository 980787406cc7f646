// Package djangotest runs a Django project with django-haystack beside the daemon, on real servers, and compares what the two write.
package djangotest

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-mysql-org/go-mysql/driver" // mysql
	_ "github.com/jackc/pgx/v5/stdlib"          // pgx

	"haystream/internal/servers"
)

const (
	projectDir   = "../../django/tests/project"
	requirements = "../../django/tests/requirements.txt"
	patience     = 2 * time.Minute
)

var (
	search = servers.Shared{Spec: servers.Spec{Kind: servers.OpenSearch, Version: "2.19"}}
	binary string
)

func TestMain(m *testing.M) {
	code := 1
	if dir, err := os.MkdirTemp("", "haystream-django-"); err == nil {
		binary = filepath.Join(dir, "haystream")
		build := exec.Command("go", "build", "-o", binary, "haystream")
		build.Stderr = os.Stderr
		if err := build.Run(); err == nil {
			code = m.Run()
		}
		_ = os.RemoveAll(dir)
	}
	search.Stop()
	os.Exit(code)
}

// A setup is a database server and the Django that the project runs on.
type setup struct {
	spec   servers.Spec
	django string
}

func setups() []setup {
	return []setup{
		{servers.Spec{Kind: servers.Postgres, Version: "15"}, "Django==4.2.30"},
		{servers.Spec{Kind: servers.MariaDB, Version: "11.8", Args: []string{"--default-time-zone=+00:00"}}, "Django==5.2.8"},
		{servers.Spec{Kind: servers.MySQL, Version: "8.0", Args: []string{"--default-time-zone=+00:00"}}, "Django==5.2.8"},
	}
}

// A site is the Django project on a database of its own, with two indexes: alias is the daemon's, haystack is filled by django-haystack.
type site struct {
	t        *testing.T
	ctx      context.Context // lasts until the test's cleanup is over
	kind     string          // of the database
	python   string
	env      []string
	search   *servers.Server
	alias    string
	haystack string
	differ   map[string]bool // what has been seen to differ from haystack's
	dir      string
	port     int
	daemon   *exec.Cmd
	log      buffer
}

func newSite(t *testing.T, s setup) *site {
	t.Helper()
	python, err := servers.Python(t.Context(), requirements, s.django)
	if err != nil {
		t.Fatal(err)
	}
	server := servers.Test(t, s.spec)
	w := &site{
		t: t, kind: s.spec.Kind, ctx: context.WithoutCancel(t.Context()), python: python, search: search.Get(t), dir: t.TempDir(), port: freePort(t),
		differ: map[string]bool{}, alias: "library-" + s.spec.Kind, haystack: "haystack-" + s.spec.Kind,
	}
	database := w.database(server)
	w.env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH="+absolute(t, "../../django"), "PROJECT_DATABASE="+database,
		"PROJECT_SEARCH="+w.search.URL, "PROJECT_INDEX="+w.alias, "PROJECT_HAYSTACK_INDEX="+w.haystack, "DATABASE_PASSWORD=se%20cret%40", "PROJECT_TIME_ZONE=Europe/Amsterdam")
	t.Cleanup(func() {
		w.stop()
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", w.log.tail(6000))
		}
	})
	return w
}

// database makes the database, and a user whose password has to be escaped in a URL.
func (w *site) database(server *servers.Server) string {
	w.t.Helper()
	u, err := url.Parse(server.URL)
	if err != nil {
		w.t.Fatal(err)
	}
	driver, address := "pgx", u.String()
	statements := []string{"CREATE ROLE django LOGIN SUPERUSER PASSWORD 'se cret@'", "CREATE DATABASE library OWNER django"}
	if server.Kind != servers.Postgres {
		driver, address = "mysql", fmt.Sprintf("%s@%s/", u.User.Username(), u.Host)
		statements = []string{
			"CREATE USER 'django'@'%' IDENTIFIED " + w.plugin() + "BY 'se cret@'", "GRANT ALL ON *.* TO 'django'@'%'",
			"CREATE DATABASE library CHARACTER SET utf8mb4",
		}
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.ExecContext(w.ctx, statement); err != nil {
			w.t.Fatalf("%s: %v", statement, err)
		}
	}
	return (&url.URL{Scheme: u.Scheme, User: url.UserPassword("django", "se cret@"), Host: u.Host, Path: "/library"}).String()
}

// plugin chooses how passwords are checked: PyMySQL would need one more library for MySQL's own choice.
func (w *site) plugin() string {
	if w.kind == servers.MySQL {
		return "WITH mysql_native_password "
	}
	return ""
}

// background starts a command of the project, and returns a function that waits for its end.
func (w *site) background(args ...string) (done func()) {
	w.t.Helper()
	command := w.project(args...)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		w.t.Fatal(err)
	}
	return func() {
		w.t.Helper()
		if err := command.Wait(); err != nil {
			w.t.Fatalf("manage.py %s: %v\n%s", args[0], err, output.String())
		}
	}
}

// project is a command of the project.
func (w *site) project(args ...string) *exec.Cmd {
	command := exec.CommandContext(w.ctx, w.python, append([]string{"manage.py"}, args...)...)
	command.Dir, command.Env = projectDir, w.env
	return command
}

// manage runs a command of the project and returns what it prints.
func (w *site) manage(args ...string) string {
	w.t.Helper()
	command := w.project(args...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		w.t.Fatalf("manage.py %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String()
}

func (w *site) config() string { return filepath.Join(w.dir, "config.yaml") }

// writeConfig writes what manage.py haystream prints, and where the daemon listens.
func (w *site) writeConfig(models []string) {
	w.t.Helper()
	args := []string{"haystream", "--output", w.config(), "--name", w.alias}
	for _, model := range models {
		args = append(args, "--index", model)
	}
	w.manage(args...)
	printed, err := os.ReadFile(w.config())
	if err != nil {
		w.t.Fatal(err)
	}
	if bytes.Contains(printed, []byte("cret")) {
		w.t.Fatal("the password is in the config")
	}
	more := fmt.Sprintf("\nhttp: {listen: 127.0.0.1:%d}\nstate: {path: %q}\n", w.port, filepath.Join(w.dir, "state"))
	text := strings.Replace(string(printed), "  elasticsearch: {", "  elasticsearch: {flavor: opensearch, ", 1) + more
	if err := os.WriteFile(w.config(), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *site) command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, append(args, "-c", w.config())...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = w.dir, w.env, &w.log, &w.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// check runs `haystream check`, which must find no error.
func (w *site) check() {
	w.t.Helper()
	if err := w.command("check").Run(); err != nil {
		config, _ := os.ReadFile(w.config())
		w.t.Fatalf("check: %v\n%s\n%s", err, w.log.tail(6000), config)
	}
}

// start runs the daemon until its first snapshots are done.
func (w *site) start() {
	w.t.Helper()
	w.daemon = w.command("run")
	if err := w.daemon.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.eventually("the daemon is ready", func() string {
		if code, body := w.request(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/readyz", w.port), ""); code != http.StatusOK {
			return string(body)
		}
		return ""
	})
}

func (w *site) stop() {
	if w.daemon == nil {
		return
	}
	_ = w.daemon.Process.Signal(syscall.SIGTERM)
	_ = w.daemon.Wait()
	if code := w.daemon.ProcessState.ExitCode(); code != 0 {
		w.t.Errorf("the daemon exits with %d", code)
	}
	w.daemon = nil
}

// eventually waits until nothing is missing.
func (w *site) eventually(what string, missing func() string) {
	w.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		left := missing()
		if left == "" {
			return
		}
		select {
		case <-deadline.C:
			w.t.Fatalf("still not so after %s: %s: %s", patience, what, left)
		case <-tick.C:
		}
	}
}

// get reads JSON from the search server.
func (w *site) get(path string, into any) {
	w.t.Helper()
	code, body := w.request(http.MethodGet, w.search.URL+path, "")
	if code != http.StatusOK {
		w.t.Fatalf("GET %s: %d %s", path, code, body)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		w.t.Fatal(err)
	}
}

// request answers 0 where nobody listens.
func (w *site) request(method, address, body string) (int, []byte) {
	req, err := http.NewRequestWithContext(w.ctx, method, address, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, []byte(err.Error())
	}
	return resp.StatusCode, data
}

// documents are all of an index, by id.
func (w *site) documents(index string) map[string]map[string]any {
	w.t.Helper()
	w.request(http.MethodPost, w.search.URL+"/"+index+"/_refresh", "")
	var found struct {
		Hits struct {
			Hits []struct {
				ID     string         `json:"_id"`
				Source map[string]any `json:"_source"`
			} `json:"hits"`
		} `json:"hits"`
	}
	w.get("/"+index+"/_search?size=10000", &found)
	all := map[string]map[string]any{}
	for _, hit := range found.Hits.Hits {
		all[hit.ID] = hit.Source
	}
	return all
}

// properties is the mapping of an index's fields.
func (w *site) properties(index string) map[string]any {
	w.t.Helper()
	var found map[string]struct {
		Mappings struct {
			Properties map[string]any `json:"properties"`
		} `json:"mappings"`
	}
	w.get("/"+index+"/_mapping", &found)
	for _, one := range found {
		return one.Mappings.Properties
	}
	return nil
}

// A buffer keeps what the daemon prints.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.text.String()
	return s[max(0, len(s)-n):]
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func absolute(t *testing.T, path string) string {
	full, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return full
}
