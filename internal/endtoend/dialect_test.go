package endtoend

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"

	_ "github.com/go-mysql-org/go-mysql/driver" // mysql
	_ "github.com/jackc/pgx/v5/stdlib"          // pgx

	"haystream/internal/servers"
)

// A dialect is what the same scenario says in one kind of database.
type dialect struct {
	driver    string
	charset   string // of a database: MariaDB's own was latin1 up to 11.5
	hotTable  string
	documents string // the hot table's, as id and JSON text, by hand
	analyze   string
	rows      func(from, to int) string

	upsert, keyChange, rollback string // of the row %[1]d; keyChange to the row %[2]d
	now                         string
	copyTable                   string   // hot_new, of the same columns
	swap                        []string // hot_new takes the place of hot, which becomes hot_old
	loseLog                     []string // what a daemon that is down would need
	lost                        string   // what the daemon's log says then
}

// withColumn is the documents of a table that has one more column.
func (d dialect) withColumn(name string) string {
	return strings.Replace(d.documents, "'body', body", fmt.Sprintf("'body', body, '%s', %[1]s", name), 1)
}

func dialectOf(kind string) dialect {
	switch kind {
	case servers.MySQL:
		return mysqlDialect()
	case servers.MariaDB:
		d := mysqlDialect()
		d.loseLog, d.lost = []string{"RESET MASTER"}, "has not written" // a purge waits for replicas there
		return d
	}
	return dialect{
		driver: "pgx", hotTable: hotTable, documents: hotDocuments, rows: hotRows, analyze: "ANALYZE hot", now: "clock_timestamp()",
		upsert:    "INSERT INTO hot (id, body) VALUES (%d, 'again') ON CONFLICT (id) DO UPDATE SET flag = NOT hot.flag",
		keyChange: "UPDATE hot SET id = %[2]d WHERE id = %[1]d AND NOT EXISTS (SELECT FROM hot WHERE id = %[2]d) AND id <> 1",
		copyTable: "CREATE TABLE hot_new (LIKE hot INCLUDING ALL)",
		swap:      []string{"BEGIN", "ALTER TABLE hot RENAME TO hot_old", "ALTER TABLE hot_new RENAME TO hot", "COMMIT"},
		loseLog:   []string{"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()"},
		lost:      "slot",
		rollback:  "DO $$ BEGIN UPDATE hot SET name = 'rolled back' WHERE id = %d; RAISE EXCEPTION 'no'; EXCEPTION WHEN raise_exception THEN NULL; END $$",
	}
}

// jsonWords are the function that makes a JSON object, and the type that casts to text.
func jsonWords(kind string) (object, text string) {
	if kind == servers.Postgres {
		return "json_build_object", "text"
	}
	return "JSON_OBJECT", "char"
}

func mysqlDialect() dialect {
	return dialect{
		driver: "mysql",
		hotTable: `CREATE TABLE hot (
	id bigint PRIMARY KEY, counter bigint NOT NULL DEFAULT 0, name text, amount decimal(12,2), tags json,
	at timestamp(6) NOT NULL DEFAULT current_timestamp(6), flag tinyint(1), body text NOT NULL)`,
		charset: " CHARACTER SET utf8mb4",
		documents: `SELECT CAST(id AS char), JSON_OBJECT('id', id, 'counter', counter, 'name', name, 'amount', amount, 'tags', JSON_EXTRACT(tags, '$'),
	'at', DATE_FORMAT(at, '%Y-%m-%dT%H:%i:%s.%fZ'), 'flag', JSON_EXTRACT(CASE flag WHEN 1 THEN 'true' WHEN 0 THEN 'false' END, '$'), 'body', body) FROM hot`,
		analyze: "ANALYZE TABLE hot",
		rows: func(from, to int) string {
			return fmt.Sprintf(`INSERT INTO hot (id, name, amount, tags, flag, body)
				SELECT n, CONCAT('name ', n), n * 1.01, JSON_OBJECT('a', n %% 7, 'ü"', 'b'), n %% 3 = 0, REPEAT(CONCAT('words of ', n, ' '), 10) FROM (
					SELECT %d + a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n + 100000 * f.n AS n
					FROM %s a, %[2]s b, %[2]s c, %[2]s d, %[2]s e, %[2]s f) numbers WHERE n <= %d`,
				from, "(SELECT 0 n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)", to)
		},
		now:       "current_timestamp(6)",
		copyTable: "CREATE TABLE hot_new LIKE hot",
		swap:      []string{"RENAME TABLE hot TO hot_old, hot_new TO hot"},
		loseLog:   []string{"UPDATE hot SET counter = 2", "FLUSH BINARY LOGS", "UPDATE hot SET counter = 3", "FLUSH BINARY LOGS", "PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY"},
		lost:      "purged",
		upsert:    "INSERT INTO hot (id, body) VALUES (%d, 'again') ON DUPLICATE KEY UPDATE flag = NOT flag",
		keyChange: "UPDATE IGNORE hot SET id = %[2]d WHERE id = %[1]d AND id <> 1",
		rollback:  "BEGIN;UPDATE hot SET name = 'rolled back' WHERE id = %d;ROLLBACK",
	}
}

// open opens the database of a server; name is empty for its own first one.
func (d dialect) open(t testing.TB, server, name string) (*sql.DB, string) {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	if name != "" {
		u.Path = "/" + name
	}
	address := u.String()
	if d.driver == "mysql" {
		address = fmt.Sprintf("%s@%s%s?collation=utf8mb4_general_ci", u.User.Username(), u.Host, u.Path)
	}
	db, err := sql.Open(d.driver, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db, u.String()
}

// logEnd is a place in the log behind everything that was committed so far.
func (w *world) logEnd() string {
	w.t.Helper()
	switch w.server.Kind {
	case servers.MySQL, servers.MariaDB:
		statement := "SHOW MASTER STATUS"
		if w.server.Version == "9.7" {
			statement = "SHOW BINARY LOG STATUS"
		}
		rows, err := w.db.QueryContext(w.ctx, statement)
		if err != nil {
			w.t.Fatal(err)
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil || !rows.Next() {
			w.t.Fatalf("read the log's end: %v", err)
		}
		values := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := errors.Join(rows.Scan(into...), rows.Err()); err != nil {
			w.t.Fatal(err)
		}
		return values[0].String + ":" + values[1].String
	}
	var lsn string
	if err := w.db.QueryRowContext(w.ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&lsn); err != nil {
		w.t.Fatal(err)
	}
	w.exec("SELECT pg_logical_emit_message(true, 'settle', '')")
	return lsn
}

// passed reports whether the daemon's checkpoint is at or behind the place.
func (w *world) passed(end string) bool {
	switch w.server.Kind {
	case servers.MySQL, servers.MariaDB:
		source, _ := w.status()["source"].(map[string]any)
		position, _ := source["position"].(string)
		_, position, _ = strings.Cut(position, "/")
		position, _, _ = strings.Cut(position, "/")
		file, offset, _ := strings.Cut(position, ":")
		endFile, endOffset, _ := strings.Cut(end, ":")
		at, _ := strconv.Atoi(offset)
		to, err := strconv.Atoi(endOffset)
		return err == nil && file == endFile && at >= to // others may write to the server, too
	}
	var passed bool
	err := w.db.QueryRowContext(w.ctx,
		"SELECT coalesce(bool_and(confirmed_flush_lsn >= $1::text::pg_lsn), false) FROM pg_replication_slots WHERE database = current_database()", end).Scan(&passed)
	return err == nil && passed
}
