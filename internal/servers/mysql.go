package servers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
)

// mysqlPatience limits each of the ready check's packets.
const mysqlPatience = 5 * time.Second

// The redo log is written out in full when a data directory is made, and copied with it.
const (
	mysqlRedo   = "--innodb-redo-log-capacity=32M"
	mariadbRedo = "--innodb-log-file-size=32M"
)

// mysqlAccounts lets root in over TCP too, as a new MariaDB does. A server that resolves no names takes 127.0.0.1 for another host than localhost.
const mysqlAccounts = `CREATE USER root@'127.0.0.1';
GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;
`

// mysqlHome is an unpacked MySQL or MariaDB.
type mysqlHome struct {
	bin     string   // the server's own program
	share   string   // messages, character sets, the SQL of a new MariaDB
	command []string // runs the server with the libraries that came with it
}

func findMySQL(home string) mysqlHome {
	const libraries = "lib/x86_64-linux-gnu"
	bin := firstIn(home, "usr/sbin/mariadbd", "usr/sbin/mysqld", "bin/mysqld")
	share := firstIn(home, "usr/share/mariadb", "usr/share/mysql", "share")
	loader := firstIn(home, "usr/"+libraries+"/ld-linux-x86-64.so.2", libraries+"/ld-linux-x86-64.so.2")
	return mysqlHome{bin, share, []string{
		loader, "--library-path", filepath.Join(home, "usr", libraries) + ":" + filepath.Join(home, libraries),
		bin, "--no-defaults", // it has to be the first
		"--basedir=" + home,
		"--lc-messages-dir=" + share,
		"--character-sets-dir=" + filepath.Join(share, "charsets"),
		"--plugin-dir=" + firstIn(home, "lib/plugin", "usr/lib/mysql/plugin"),
		"--innodb-use-native-aio=OFF", // the kernel's limits on it are the whole machine's
	}}
}

// firstIn returns the path of the first name that is there, or of the last one.
func firstIn(home string, names ...string) string {
	var path string
	for _, name := range names {
		path = filepath.Join(home, name)
		if _, err := os.Stat(path); err == nil {
			break
		}
	}
	return path
}

// prepareMySQL copies an initialised data directory, of MySQL or MariaDB.
func (s *Server) prepareMySQL(ctx context.Context, home string) error {
	found := findMySQL(home)
	s.program = program{
		bin:     []string{filepath.Dir(found.bin)},
		command: found.command,
		env:     []string{"HOME=" + s.run, "LC_ALL=C.UTF-8"},
		stop:    syscall.SIGTERM,
		abort:   syscall.SIGKILL,
		ready:   s.mysqlAnswers,
	}
	if _, err := os.Stat(filepath.Join(s.data, "ibdata1")); err == nil {
		return nil
	}
	template, err := mysqlTemplate(ctx, s.Kind, found)
	if err != nil {
		return err
	}
	return copyTemplate(ctx, template, s.data)
}

// mysqlTemplate initialises a data directory once per version and user.
func mysqlTemplate(ctx context.Context, kind string, home mysqlHome) (string, error) {
	store, err := openCache()
	if err != nil {
		return "", err
	}
	version, err := exec.CommandContext(ctx, home.command[0], slices.Concat(home.command[1:], []string{"--version"})...).Output()
	if err != nil {
		return "", fmt.Errorf("ask the server's version: %w", err)
	}
	fields := strings.Fields(string(version)) // /path/mysqld Ver 8.0.31 for Linux on x86_64 (MySQL Community Server - GPL)
	if len(fields) < 3 {
		return "", fmt.Errorf("ask the server's version: answer %q", version)
	}
	name := fmt.Sprintf("%s-data-%s-%d", kind, fields[2], os.Geteuid())
	dir, err := store.entry(ctx, name, func(ctx context.Context, dir string) error {
		data := filepath.Join(dir, "data")
		if err := os.Mkdir(data, 0o700); err != nil {
			return err
		}
		if err := own(data); err != nil {
			return err
		}
		if kind == MariaDB {
			return initialiseMariaDB(ctx, home, data)
		}
		return initialiseMySQL(ctx, home, dir, data)
	})
	if err != nil {
		return "", fmt.Errorf("initialise data directory: %w", err)
	}
	return filepath.Join(dir, "data"), nil
}

func initialiseMySQL(ctx context.Context, home mysqlHome, dir, data string) error {
	accounts := filepath.Join(dir, "accounts.sql")
	if err := os.WriteFile(accounts, []byte(mysqlAccounts), 0o644); err != nil {
		return err
	}
	arguments := slices.Concat(home.command[1:], []string{"--datadir=" + data, "--initialize-insecure", "--init-file=" + accounts, mysqlRedo})
	if err := runAsServer(ctx, home.command[0], arguments...); err != nil {
		return err
	}
	// Each copy makes itself a UUID: two servers with the same one would be one source.
	err := os.Remove(filepath.Join(data, "auto.cnf"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// initialiseMariaDB feeds the server the SQL that comes with it, as its own install script does.
func initialiseMariaDB(ctx context.Context, home mysqlHome, data string) error {
	var script strings.Builder
	script.WriteString("CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\n")
	// Their names begin with mysql_ up to version 10.11, then with mariadb_.
	for _, part := range []string{"*_system_tables.sql", "*_performance_tables.sql", "*_system_tables_data.sql", "maria_add_gis_sp_bootstrap.sql", "*_sys_schema.sql"} {
		found, err := filepath.Glob(filepath.Join(home.share, part))
		if err != nil || len(found) != 1 {
			return fmt.Errorf("find %s in %s: there are %d, want 1", part, home.share, len(found))
		}
		text, err := os.ReadFile(found[0])
		if err != nil {
			return err
		}
		script.Write(text)
		script.WriteByte('\n')
	}
	arguments := slices.Concat(home.command[1:], []string{"--datadir=" + data, "--bootstrap", "--enforce-storage-engine=", mariadbRedo})
	command := asServer(ctx, home.command[0], arguments...)
	command.Stdin = strings.NewReader(script.String())
	return run(command)
}

// configureMySQL sets the command line for s.port. Later arguments win, so that the spec's override ours.
// A commit reaches the kernel before it is answered, and thereby outlives a kill of the process; it need not reach the disk.
func (s *Server) configureMySQL() {
	s.URL = fmt.Sprintf("%s://root@%s/", s.Kind, s.Addr)
	settings := []string{
		"--datadir=" + s.data,
		"--tmpdir=" + s.run,
		"--pid-file=" + s.mysqlPIDFile(),
		"--bind-address=127.0.0.1",
		"--port=" + strconv.Itoa(s.port),
		"--socket=", // its path may be too long for a socket
		"--skip-name-resolve",
		"--server-id=1",
		"--log-bin=binlog",
		"--binlog-format=ROW",
		"--binlog-row-metadata=FULL",
		"--sync-binlog=0",
		"--innodb-flush-log-at-trx-commit=2",
		"--performance-schema=OFF",
	}
	if s.Kind == MySQL {
		settings = append(settings, "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--mysqlx=OFF", "--secure-file-priv=NULL", mysqlRedo)
	} else {
		settings = append(settings, mariadbRedo)
	}
	s.program.args = slices.Concat(s.program.command, settings, s.Args)
}

func (s *Server) mysqlPIDFile() string { return filepath.Join(s.run, "mysqld.pid") }

// mysqlAnswers reports whether this very server completes a handshake. A refusal is an answer too: the spec's arguments or a test
// may have closed the server to a root without password or encryption.
func (s *Server) mysqlAnswers(ctx context.Context) bool {
	text, err := os.ReadFile(s.mysqlPIDFile())
	if err != nil || strings.TrimSpace(string(text)) != strconv.Itoa(s.process.pid) {
		return false
	}
	conn, err := client.ConnectWithContext(ctx, s.Addr, "root", "", "", mysqlPatience, func(c *client.Conn) error {
		c.ReadTimeout, c.WriteTimeout = mysqlPatience, mysqlPatience
		return nil
	})
	if refusal := (*mysql.MyError)(nil); errors.As(err, &refusal) {
		return true
	}
	if err != nil {
		return false
	}
	_ = conn.Quit()
	return true
}
