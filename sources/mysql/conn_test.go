package mysql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"go.uber.org/goleak"

	"haystream/internal/servers"
	"haystream/sources"
)

func TestLogins(t *testing.T) {
	eachServer(t, func(b *box) {
		plugin := "IDENTIFIED WITH caching_sha2_password BY "
		if b.isMaria() {
			plugin = "IDENTIFIED BY "
		}
		const password = "p@ss/:#é word"
		b.user("login", plugin+"'"+password+"'")
		b.user("login_tls", plugin+"'x' REQUIRE SSL")
		b.user("login_locked", plugin+"'x' ACCOUNT LOCK")
		_, port, err := net.SplitHostPort(b.Host)
		b.must(err)
		encrypts := true
		if b.isMaria() {
			encrypts = b.ask("SELECT @@have_ssl") == "YES"
		}
		tests := []struct {
			name, url string
			encrypted bool
			want      string // of the error
		}{
			{"plain, the first time", b.with("login:"+password, "", "ssl-mode=DISABLED"), false, ""},
			{"as the server can", b.with("login:"+password, "", ""), encrypts, ""},
			{"required", b.with("login:"+password, "", "ssl-mode=REQUIRED"), true, ""},
			{"over a socket", b.with("login:"+password, "", "socket="+b.ask("SELECT IF(LEFT(@@socket, 1) = '/', @@socket, CONCAT(@@datadir, @@socket))")), false, ""},
			{"wrong password", b.with("login:wrong", "", ""), false, "ERROR 1045 (28000): Access denied for user 'login'@'127.0.0.1' (using password: YES); correct the user or the password"},
			{"unknown user", b.with("stranger:x", "", ""), false, "ERROR 1045"},
			{"TLS only", b.with("login_tls:x", "", ""), true, ""},
			{"TLS only, plain", b.with("login_tls:x", "", "tls=false"), false, "where it may log in over TLS only, set ssl-mode=REQUIRED"},
			{"locked", b.with("login_locked:x", "", ""), false, "run ALTER USER … ACCOUNT UNLOCK"},
			{"no such database", b.with("", "nowhere", ""), false, "ERROR 1049 (42000): Unknown database 'nowhere'; correct the database in source.url"},
			{"not its database", b.with("login:"+password, "mysql", ""), false, "ERROR 1044"},
			{"the other server's scheme", "mariadb" + strings.TrimPrefix(b.with("", "", ""), "mysql"), false, "the server is MySQL, not MariaDB; write source.url as mysql://…"},
		}
		if b.isMaria() {
			tests[len(tests)-1].url = "mysql" + strings.TrimPrefix(b.with("", "", ""), "mariadb")
			tests[len(tests)-1].want = "the server is MariaDB, not MySQL; write source.url as mariadb://…"
		}
		for _, test := range tests {
			c, err := b.endpoint(test.url).connect(b.Context(), patience)
			if test.want == "" && test.encrypted && !encrypts {
				test.want = "Access denied"
				if strings.Contains(test.url, "REQUIRED") {
					test.want = "the server has no TLS; enable TLS on the server"
				}
			}
			if test.want != "" {
				if err == nil || !errors.Is(err, sources.ErrConfig) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), password) {
					b.Errorf("%s: %v, want %s", test.name, err, test.want)
				}
				continue
			}
			if err != nil {
				b.Errorf("%s: %v", test.name, err)
				continue
			}
			row, err := c.one(b.Context(), "SHOW SESSION STATUS LIKE 'Ssl_cipher'")
			if err != nil || (row[1] != "") != test.encrypted {
				b.Errorf("%s: the cipher is %q, %v", test.name, row, err)
			}
			c.close()
		}
		_, err = b.endpoint(strings.Replace(b.with("", "", ""), ":"+port, ":1", 1)).connect(b.Context(), patience)
		if err == nil || errors.Is(err, sources.ErrConfig) || !strings.Contains(err.Error(), "connect to 127.0.0.1:1: ") {
			b.Errorf("nobody listens: %v", err)
		}
	})
}

// TestNoTLS: a server that does not encrypt is taken, unless it must.
func TestNoTLS(t *testing.T) {
	b := newBox(t, servers.Test(t, servers.Spec{Kind: servers.MariaDB, Version: "11.8", Args: []string{"--skip-ssl"}}).URL)
	row, err := b.admin.one(b.Context(), "SHOW SESSION STATUS LIKE 'Ssl_cipher'")
	if err != nil || row[1] != "" {
		b.Errorf("the cipher is %q, %v", row, err)
	}
	for _, params := range []string{"ssl-mode=REQUIRED", "ssl-mode=VERIFY_CA", "tls=true", "ssl=1"} {
		_, err := b.endpoint(b.with("", "", params)).connect(b.Context(), patience)
		if !errors.Is(err, sources.ErrConfig) || !strings.Contains(err.Error(), "the server has no TLS; enable TLS on the server, or set ssl-mode=PREFERRED in source.url") {
			b.Errorf("%s: %v", params, err)
		}
	}
}

// TestCertificates: a server's certificate is checked as far as the mode says.
func TestCertificates(t *testing.T) {
	eachServer(t, func(b *box) {
		if b.isMaria() {
			return // it takes another certificate only with a restart
		}
		known, other := newAuthority(b.T), newAuthority(b.T)
		dir, foreign := b.TempDir(), b.TempDir()
		for _, readable := range []string{dir, filepath.Dir(dir)} {
			b.must(os.Chmod(readable, 0o755)) // the server is another user
		}
		known.issue(b.T, dir, "127.0.0.1")
		other.issue(b.T, foreign, "127.0.0.1")
		b.Cleanup(func() { b.again("ALTER INSTANCE RELOAD TLS") })
		for _, file := range []string{"ca", "cert", "key"} {
			b.set("ssl_"+file, "'"+filepath.Join(dir, file+".pem")+"'")
		}
		b.exec("ALTER INSTANCE RELOAD TLS")
		ca, wrong := "ssl-ca="+dir+"/ca.pem", "ssl-ca="+foreign+"/ca.pem"
		const unknown, name = "name the authority's certificate with ssl-ca", "connect by a name that the certificate has"
		b.user("certified", "IDENTIFIED BY 'x' REQUIRE X509")
		tests := []struct{ url, want string }{
			{b.with("", "", ca+"&ssl-mode=VERIFY_IDENTITY"), ""},
			{b.with("", "", ca+"&tls=true"), ""},
			{b.with("", "", ca), ""},
			{strings.Replace(b.with("", "", ca), "127.0.0.1", "localhost", 1), ""},
			{strings.Replace(b.with("", "", ca+"&tls=true"), "127.0.0.1", "localhost", 1), name},
			{b.with("", "", wrong), unknown},
			{b.with("", "", wrong+"&ssl-mode=VERIFY_IDENTITY"), unknown},
			{b.with("", "", "ssl-mode=VERIFY_CA"), unknown},
			{b.with("", "", "tls=true"), unknown},
			{b.with("", "", "tls=skip-verify"), ""},
			{b.with("certified:x", "", ca), "Access denied"},
			{b.with("certified:x", "", ca+"&ssl-cert="+dir+"/cert.pem&ssl-key="+dir+"/key.pem"), ""},
		}
		for _, test := range tests {
			c, err := b.endpoint(test.url).connect(b.Context(), patience)
			if err == nil {
				c.close()
			}
			if (err == nil) != (test.want == "") || err != nil && (!errors.Is(err, sources.ErrConfig) || !strings.Contains(err.Error(), test.want)) {
				b.Errorf("%s: %v, want %q", test.url, err, test.want)
			}
		}
	})
}

// TestSession: whatever the server's settings are, values read the same.
func TestSession(t *testing.T) {
	eachServer(t, func(b *box) {
		b.set("time_zone", "'+05:30'")
		b.set("sql_mode", "'ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH'")
		b.set("autocommit", "0")
		b.set("character_set_results", "latin1")
		b.set("group_concat_max_len", "4")
		const query = `SELECT @@time_zone, @@sql_mode, @@autocommit, @@character_set_client, @@character_set_results, "text", UNIX_TIMESTAMP('1970-01-02 00:00:00')`
		c := b.connect(b.with("", "", ""))
		row, err := c.one(b.Context(), query)
		if got := strings.Join(row, "|"); err != nil || got != "+00:00|ALLOW_INVALID_DATES|1|utf8mb4|utf8mb4|text|86400" {
			b.Errorf("the session is %s, %v", got, err)
		}
		b.schema("session")
		b.exec("CREATE TABLE session.t (id int)")
		if err := c.exec(b.Context(), "INSERT INTO session.t VALUES (1)"); err == nil || !strings.Contains(err.Error(), "READ ONLY") {
			b.Errorf("a write is not refused: %v", err)
		}
		dump, err := b.endpoint(b.with("", "", "")).connect(b.Context(), 0)
		b.must(err)
		defer dump.close()
		row, err = dump.one(b.Context(), "SELECT @@net_write_timeout")
		if err != nil || row[0] != "3600" {
			b.Errorf("the dump's session is %v, %v", row, err)
		}
	})
}

func TestQueries(t *testing.T) {
	eachServer(t, func(b *box) {
		c := b.connect(b.with("", "", ""))
		var got []string
		err := c.query(b.Context(), "SELECT 1, NULL, '' UNION ALL SELECT 2, 'ž', REPEAT('x', 300)", func(row [][]byte) error {
			got = append(got, fmt.Sprintf("%s %v %s %d", row[0], row[1] == nil, row[1], len(row[2])))
			return nil
		})
		if strings.Join(got, ";") != "1 true  0;2 false ž 300" || err != nil {
			b.Errorf("the rows are %q, %v", got, err)
		}
		// Each length of a length, and a row of more than one packet.
		b.set("max_allowed_packet", "67108864")
		c = b.connect(b.with("", "", ""))
		for _, size := range []int{0, 250, 251, 65535, 65536, 1<<24 - 20, 1<<24 - 5, 1 << 24, 20 << 20} {
			err := c.query(b.Context(), fmt.Sprintf("SELECT REPEAT('x', %d), 'end'", size), func(row [][]byte) error {
				if len(row[0]) != size || string(row[1]) != "end" {
					b.Errorf("%d bytes came as %d and %q", size, len(row[0]), row[1])
				}
				return nil
			})
			b.must(err)
		}
		// After an error of the server the connection goes on.
		if err := c.exec(b.Context(), "SELECT * FROM nowhere.nothing"); serverCode(err) == 0 || c.broken {
			b.Errorf("the server's error is %v, broken %v", err, c.broken)
		}
		if _, err := c.one(b.Context(), "SELECT 1 FROM DUAL WHERE FALSE"); !errors.Is(err, errNoRow) {
			b.Errorf("no row is %v", err)
		}
		// In the middle of an answer it does not.
		stop := errors.New("stop")
		if err := c.queryRaw(b.Context(), "SELECT 1 UNION SELECT 2", func(mysql.RowData) error { return stop }); !errors.Is(err, stop) || !c.broken {
			b.Errorf("stopped: %v, broken %v", err, c.broken)
		}
	})
}

// TestQueryEnds: the end of a context, or of the time allowed, ends a query
// that the server does not answer, and leaves nothing behind.
func TestQueryEnds(t *testing.T) {
	eachServer(t, func(b *box) {
		defer goleak.VerifyNone(b.T, goleak.IgnoreCurrent())
		e := b.endpoint(b.with("", "", ""))
		c, err := e.connect(b.Context(), patience)
		b.must(err)
		ctx, cancel := context.WithCancel(b.Context())
		begun := time.Now()
		timer := time.AfterFunc(100*time.Millisecond, cancel)
		err = c.exec(ctx, "SELECT SLEEP(50)")
		if !errors.Is(err, context.Canceled) || !c.broken || time.Since(begun) > patience/2 {
			b.Errorf("cancelled: %v after %s, broken %v", err, time.Since(begun), c.broken)
		}
		timer.Stop()
		c.close()

		c, err = e.connect(b.Context(), time.Second)
		b.must(err)
		for _, variable := range []string{"max_execution_time", "max_statement_time"} {
			_ = c.exec(b.Context(), "SET SESSION "+variable+" = 0") // so that the server does not end it first
		}
		begun = time.Now()
		err = c.exec(b.Context(), "SELECT SLEEP(50)")
		if err == nil || err.Error() != "query: no answer in 1s" || !c.broken || time.Since(begun) > patience/2 {
			b.Errorf("limited: %v after %s, broken %v", err, time.Since(begun), c.broken)
		}
		c.close()
	})
}

// TestSilentServer: a server that takes the connection and says nothing, or nonsense.
func TestSilentServer(t *testing.T) {
	for _, greeting := range []string{"", "\x01\x00\x00\x00\x0a", "\x05\x00\x00\x00\x0a8.0\x00", "\x05\x00\x00\x00HTTP/", "\x03\x00\x00\x00\xff\x10\x04"} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		accepted := make(chan net.Conn, 1)
		go func() {
			defer close(accepted)
			if conn, err := listener.Accept(); err == nil {
				_, _ = conn.Write([]byte(greeting))
				accepted <- conn
			}
		}()
		e := &endpoint{flavor: mysqlServer, network: "tcp", dial: listener.Addr().String(), user: "root", timeout: 300 * time.Millisecond}
		if _, err := e.connect(t.Context(), patience); err == nil || errors.Is(err, sources.ErrConfig) {
			t.Errorf("%q: %v", greeting, err)
		} else if greeting == "" && !strings.Contains(err.Error(), "no answer in 300ms") {
			t.Errorf("silence: %v", err)
		}
		_ = listener.Close()
		if conn := <-accepted; conn != nil {
			_ = conn.Close()
		}
	}
}

func TestPool(t *testing.T) {
	eachServer(t, func(b *box) {
		p := b.endpoint(b.with("", "", "")).pool()
		id := func() (id string) {
			b.must(p.Use(b.Context(), func(c *conn) error {
				row, err := c.one(b.Context(), "SELECT CONNECTION_ID()")
				id = row[0]
				return err
			}))
			return id
		}
		first := id()
		if again := id(); again != first {
			b.Errorf("connection %s is used after %s", again, first)
		}
		// One that the server has ended is not lent again.
		b.exec("KILL " + first)
		second := id()
		if second == first {
			b.Error("a dead connection is lent")
		}
		// One that failed is not kept.
		err := p.Use(b.Context(), func(c *conn) error { return c.exec(b.Context(), "SELECT nothing") })
		if err == nil || errors.Is(err, sources.ErrConfig) {
			b.Errorf("a wrong query is %v", err)
		}
		if third := id(); third == second {
			b.Error("a connection is kept after an error")
		}
		p.Close()
		if err := p.Use(b.Context(), func(*conn) error { return nil }); err == nil {
			b.Error("a closed pool lends connections")
		}
	})
}

func TestNextText(t *testing.T) {
	for _, row := range []string{"", "\x02a", "\xfc\x01", "\xfd\x01\x00", "\xfe\x01", "\xfe\xff\xff\xff\xff\xff\xff\xff\xffab", "\xff"} {
		if _, _, _, err := nextText([]byte(row)); err == nil {
			t.Errorf("%q is taken", row)
		}
	}
	value, null, rest, err := nextText([]byte("\x02ab\xfb"))
	if string(value) != "ab" || null || string(rest) != "\xfb" || err != nil {
		t.Errorf("the first value is %q %v, rest %q, %v", value, null, rest, err)
	}
	value, null, rest, err = nextText(rest)
	if value != nil || !null || len(rest) > 0 || err != nil {
		t.Errorf("the second value is %q %v, rest %q, %v", value, null, rest, err)
	}
}

func TestOlder(t *testing.T) {
	tests := []struct {
		version string
		than    []int
		want    bool
	}{
		{"8.0.31", []int{8, 0}, false},
		{"5.7.44-log", []int{8, 0}, true},
		{"8.0.29", []int{8, 0, 30}, true},
		{"8.4.0", []int{8, 0, 30}, false},
		{"10.11.18-MariaDB-log", []int{11}, true},
		{"10.5.9-MariaDB", []int{10, 6}, true},
		{"11.8.9-MariaDB", []int{10, 6}, false},
		{"9.7.4-2", []int{8, 4, 0}, false},
	}
	for _, test := range tests {
		if got := older(test.version, test.than...); got != test.want {
			t.Errorf("%s older than %v: %v", test.version, test.than, got)
		}
	}
}
