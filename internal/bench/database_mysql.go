package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"haystream/internal/servers"
)

// A mysqlDatabase is MySQL or MariaDB. The log is kept anyway, and begins in a
// file of its own, so that nobody has to skip what was there before.
type mysqlDatabase struct {
	mysqlSession

	server *servers.Server
	rows   int
	file   string // of the log that is kept
}

// quietMySQL gives the server room enough that it does not write pages out during the measurements.
func quietMySQL(kind string) []string {
	redo := "--innodb-redo-log-capacity=4G"
	if kind == servers.MariaDB {
		redo = "--innodb-log-file-size=4G"
	}
	return []string{redo, "--innodb-buffer-pool-size=512M", "--local-infile=ON"}
}

const (
	mysqlTable = `CREATE TABLE bench.bench (
	id bigint PRIMARY KEY, author_id int NOT NULL, title varchar(120) NOT NULL, body text NOT NULL, price decimal(10,2),
	views int NOT NULL, published boolean NOT NULL, created timestamp(6) NOT NULL DEFAULT 0, updated timestamp(6) NOT NULL DEFAULT 0)`

	// mysqlLoad takes the rows as they are written for COPY.
	mysqlLoad = `LOAD DATA LOCAL INFILE 'rows' INTO TABLE bench.bench CHARACTER SET utf8mb4
	(id, author_id, title, body, price, views, @published, @created, @updated)
	SET published = @published = 'true', created = left(@created, 26), updated = left(@updated, 26)`

	mysqlTouch = `CREATE PROCEDURE bench.touch(IN n INT, IN per_transaction INT) BEGIN
		DECLARE i INT DEFAULT 1;
		START TRANSACTION;
		WHILE i <= n DO
			UPDATE bench.bench SET views = views + 1, updated = updated + INTERVAL 1 SECOND WHERE id = i;
			IF i % per_transaction = 0 THEN COMMIT; START TRANSACTION; END IF;
			SET i = i + 1;
		END WHILE;
		COMMIT;
	END`
)

// openMySQL makes the table and fills it.
func openMySQL(ctx context.Context, server *servers.Server, rows int) (database, error) {
	s, err := connectMySQL(ctx, server)
	if err != nil {
		return nil, err
	}
	db := &mysqlDatabase{mysqlSession: *s, server: server, rows: rows}
	if err := db.fill(ctx); err != nil {
		db.close()
		return nil, err
	}
	return db, nil
}

func (db *mysqlDatabase) fill(ctx context.Context) error {
	for _, sql := range []string{"CREATE DATABASE bench CHARACTER SET utf8mb4", mysqlTable, mysqlTouch} {
		if err := db.exec(ctx, sql); err != nil {
			return err
		}
	}
	var text bytes.Buffer
	if err := writeRows(&text, db.rows); err != nil {
		return err
	}
	err := db.guard(ctx, func() error {
		_, err := db.conn.ExecQueryRelayLocalInfile(mysqlLoad, func([]byte) (io.Reader, error) { return bytes.NewReader(text.Bytes()), nil })
		return err
	})
	if err != nil {
		return fmt.Errorf("load rows: %w", err)
	}
	return db.exec(ctx, "ANALYZE TABLE bench.bench")
}

// url is without TLS, as the baselines and PostgreSQL's are.
func (db *mysqlDatabase) url() string { return db.server.URL + "bench?ssl-mode=DISABLED" }

// scan selects everything and looks at no more of the packets than their sizes.
func (db *mysqlDatabase) scan(ctx context.Context) (took time.Duration, err error) {
	began := time.Now()
	err = db.guard(ctx, func() error {
		answer, err := db.command(mysql.COM_QUERY, []byte("SELECT * FROM bench.bench"))
		if err != nil {
			return err
		}
		if _, err := countPackets(answer); err != nil { // the columns
			return err
		}
		rows, err := countPackets(answer)
		if err == nil && rows != db.rows {
			err = fmt.Errorf("got %d rows, want %d", rows, db.rows)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("select table: %w", err)
	}
	return time.Since(began), nil
}

// command sends a command, and returns what the answer is read from.
func (s *mysqlSession) command(kind byte, argument []byte) (*bufio.Reader, error) {
	s.conn.ResetSequence()
	if err := s.conn.WritePacket(append([]byte{0, 0, 0, 0, kind}, argument...)); err != nil {
		return nil, err
	}
	return bufio.NewReaderSize(s.conn.Conn.Conn, 1<<16), nil // past the library's own buffer, which is empty
}

// countPackets reads packets up to one that says that it is the last (MySQL
// documentation, "Text Resultset").
func countPackets(r *bufio.Reader) (packets int, err error) {
	const header, end, refusal, endSize = 4, 0xfe, 0xff, 9
	for ; ; packets++ {
		head, err := r.Peek(header + 1)
		if err != nil {
			return 0, err
		}
		size, kind := int(head[0])|int(head[1])<<8|int(head[2])<<16, head[header]
		if kind == refusal {
			text, _ := r.Peek(min(header+size, r.Buffered()))
			return 0, fmt.Errorf("the server refuses: %q", text[header:])
		}
		if _, err := r.Discard(header + size); err != nil || kind == end && size < endSize {
			return packets, err
		}
	}
}

func (db *mysqlDatabase) keepLog(ctx context.Context) error {
	if err := db.exec(ctx, "FLUSH BINARY LOGS"); err != nil {
		return err
	}
	return db.guard(ctx, func() error {
		files, err := db.conn.Execute("SHOW BINARY LOGS")
		if err != nil {
			return fmt.Errorf("list the log's files: %w", err)
		}
		db.file, err = files.GetString(files.RowNumber()-1, 0)
		return err
	})
}

// update changes each row by a statement of its own, but all rows of a single
// transaction by one: the log has one row in an event then, and many here.
func (db *mysqlDatabase) update(ctx context.Context, perTransaction int) error {
	if perTransaction < db.rows {
		return db.exec(ctx, fmt.Sprintf("CALL bench.touch(%d, %d)", db.rows, perTransaction))
	}
	return db.exec(ctx, "UPDATE bench.bench SET views = views + 1, updated = updated + INTERVAL 1 SECOND")
}

// drain dumps the log. To a replica without an id the server says where it ends.
func (db *mysqlDatabase) drain(ctx context.Context, _ int) (time.Duration, error) {
	began := time.Now()
	s, err := connectMySQL(ctx, db.server)
	if err != nil {
		return 0, err
	}
	defer s.close()
	for _, sql := range []string{"SET @master_binlog_checksum = @@GLOBAL.binlog_checksum, @source_binlog_checksum = @@GLOBAL.binlog_checksum", "SET @mariadb_slave_capability = 4"} {
		if err := s.exec(ctx, sql); err != nil {
			return 0, err
		}
	}
	err = s.guard(ctx, func() error {
		answer, err := s.command(mysql.COM_BINLOG_DUMP, append([]byte{4, 0, 0, 0, 0, 0, 0, 0, 0, 0}, db.file...)) // from byte 4 of the file
		if err == nil {
			_, err = countPackets(answer)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("dump log: %w", err)
	}
	return time.Since(began), nil
}

// follow is go-mysql's own replica, which decodes the rows that are counted.
func (db *mysqlDatabase) follow(ctx context.Context, _ int) (time.Duration, error) {
	host, service, err := net.SplitHostPort(db.server.Addr)
	if err != nil {
		return 0, fmt.Errorf("read address: %w", err)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("read address: %w", err)
	}
	syncer := replication.NewBinlogSyncer(replication.BinlogSyncerConfig{
		ServerID: 2, Flavor: db.server.Kind, Host: host, Port: uint16(port), User: mysqlUser, Logger: slog.New(slog.DiscardHandler),
	})
	defer syncer.Close()
	began := time.Now()
	log, err := syncer.StartSync(mysql.Position{Name: db.file, Pos: 4})
	if err != nil {
		return 0, fmt.Errorf("dump log: %w", err)
	}
	for rows := 0; rows < db.rows; {
		event, err := log.GetEvent(ctx)
		if err != nil {
			return 0, fmt.Errorf("dump log: %w", err)
		}
		if changes, ok := event.Event.(*replication.RowsEvent); ok {
			rows += len(changes.Rows) / 2 // before and after
		}
	}
	return time.Since(began), nil
}

// dropLog has nothing to do: nobody's place in the log holds the server up.
func (db *mysqlDatabase) dropLog(context.Context) error { return nil }

func (db *mysqlDatabase) connect(ctx context.Context) (session, error) {
	s, err := connectMySQL(ctx, db.server)
	if err != nil {
		return nil, err
	}
	if err := s.exec(ctx, "USE bench"); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// A mysqlSession is one connection to MySQL or MariaDB.
type mysqlSession struct{ conn *client.Conn }

const mysqlUser = "root"

func connectMySQL(ctx context.Context, server *servers.Server) (*mysqlSession, error) {
	const patience = 10 * time.Second
	conn, err := client.ConnectWithContext(ctx, server.Addr, mysqlUser, "", "", patience, func(c *client.Conn) error {
		// Both change the form of a query and of its answer, which scan sees as they are.
		c.UnsetCapability(mysql.CLIENT_QUERY_ATTRIBUTES)
		c.UnsetCapability(mysql.CLIENT_DEPRECATE_EOF)
		return c.SetCapability(mysql.CLIENT_LOCAL_FILES)
	})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", server.Kind, err)
	}
	s := &mysqlSession{conn}
	if err := s.exec(ctx, "SET time_zone = '+00:00', sql_mode = ''"); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// guard ends the connection, and thereby the work, with ctx.
func (s *mysqlSession) guard(ctx context.Context, work func() error) error {
	defer context.AfterFunc(ctx, func() { _ = s.conn.Close() })()
	if err := work(); err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	return nil
}

func (s *mysqlSession) exec(ctx context.Context, sql string) error {
	err := s.guard(ctx, func() error {
		_, err := s.conn.Execute(sql)
		return err
	})
	if err != nil {
		return fmt.Errorf("execute %.60q: %w", sql, err)
	}
	return nil
}

func (s *mysqlSession) close() { _ = s.conn.Close() }
