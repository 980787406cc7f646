package main

import (
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"haystream/internal/servers"
)

//go:embed postgres.sql
var postgresSchema string

//go:embed mysql.sql
var mysqlSchema string

// dialect is all that differs between the databases. Whatever else the demo says in SQL each of them understands.
type dialect struct {
	product  string
	versions []string // of a server of the demo's own, the best one first
	open     func(url string) (*sql.DB, error)

	accounts []string // statements that make an own server's database, and a user for the daemon who may do no more than it must
	schema   string
	found    string   // query: are there sample tables, and are they the demo's own?
	finish   []string // statements that mark the tables as the demo's own, and count their rows: the daemon shows a snapshot's progress by that

	numbered bool               // arguments are written $1, $2, … and not ?
	code     func(error) string // of an error that is the server's answer
	passing  []string           // codes of errors that writers put up with: two of them met, or the server is restarted

	end     string // query: the log's end
	cut     string // what stands before the place in the log in the daemon's position
	reached string // query: is an end, the first argument, not behind a place, the second?

	documents map[string]string // by table: what a row's document must be
}

// dialectOf is that of a kind of server, which a URL's scheme names, too.
func dialectOf(kind string) (dialect, error) {
	switch kind {
	case servers.Postgres, "postgresql":
		return postgres(), nil
	case servers.MySQL:
		d := mysqlOrMariaDB()
		d.product, d.versions = "MySQL", []string{"8.0"}
		d.end, d.reached = "SELECT @@GLOBAL.gtid_executed", "SELECT gtid_subset(?, ?)"
		return d, nil
	case servers.MariaDB:
		d := mysqlOrMariaDB()
		d.product, d.versions = "MariaDB", []string{"11.8"}
		d.end, d.reached = "SELECT @@GLOBAL.gtid_binlog_pos", "SELECT substring_index(?, '-', -1) + 0 <= substring_index(?, '-', -1) + 0"
		return d, nil
	}
	return dialect{}, fmt.Errorf("no sample database for %q; there is one for %s, %s and %s", kind, servers.Postgres, servers.MySQL, servers.MariaDB)
}

func postgres() dialect {
	// utc is a time as documents have it.
	utc := func(column string) string { return `replace(to_json(` + column + `) #>> '{}', '+00:00', 'Z')` }
	return dialect{
		product:  "PostgreSQL",
		versions: []string{"18", "15"},
		open:     openPostgres,
		schema:   postgresSchema,
		found: `SELECT to_regclass('myapp_note') IS NOT NULL OR to_regclass('auth_user') IS NOT NULL,
			coalesce(obj_description(to_regclass('myapp_note'), 'pg_class') = 'Haystream demo', false)`,
		finish:   []string{"COMMENT ON TABLE myapp_note IS 'Haystream demo'", "ANALYZE"},
		numbered: true,
		code: func(err error) string {
			if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
				return refused.Code
			}
			return ""
		},
		passing: []string{
			"23503", "23505", // foreign key, unique key
			"40001", "40P01", // serialization, deadlock
			"57P01", "57P02", "57P03", // shutdown, crash, start
		},
		end:     "SELECT pg_current_wal_insert_lsn()::text",
		cut:     ":",
		reached: "SELECT ?::text::pg_lsn <= ?::text::pg_lsn",
		documents: map[string]string{
			"myapp_note": `jsonb_build_object('title', title, 'slug', slug, 'author_id', user_id, 'pub_date', ` + utc("pub_date") + `,
				'updated', ` + utc("updated") + `, 'views', views, 'rating', rating, 'popular', views >= 1000, 'text', title || E'\n' || body)
				|| CASE WHEN summary IS NULL THEN '{}' ELSE jsonb_build_object('summary', summary) END`,
			"auth_user": `jsonb_build_object('id', id, 'last_login', ` + utc("last_login") + `, 'is_superuser', is_superuser, 'username', username,
				'first_name', first_name, 'last_name', last_name, 'email', email, 'is_staff', is_staff, 'is_active', is_active,
				'date_joined', ` + utc("date_joined") + `)`,
			"myapp_comment": `jsonb_build_object('body', body, 'created', ` + utc("created") + `, 'note_id', note_id, 'author_id', user_id)`,
			"myapp_tag":     `jsonb_build_object('name', name, 'slug', slug)`,
		},
	}
}

func mysqlOrMariaDB() dialect {
	// A time as documents have it: datetime has no zone, and Django writes UTC.
	clock := func(column string) string {
		return fmt.Sprintf(`concat(date_format(%s, '%%Y-%%m-%%dT%%H:%%i:%%s'), if(microsecond(%[1]s) = 0, '', trim(TRAILING '0' FROM date_format(%[1]s, '.%%f'))))`, column)
	}
	// Numbers are all that the servers know of true and false, outside of JSON.
	boolean := func(condition string) string { return `json_extract(if(` + condition + `, 'true', 'false'), '$')` }
	return dialect{
		open: openMySQL,
		accounts: []string{
			"CREATE DATABASE " + ownDatabase + " CHARACTER SET utf8mb4",
			"CREATE USER " + ownUser,
			"GRANT SELECT ON " + ownDatabase + ".* TO " + ownUser,
			"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO " + ownUser,
		},
		schema: mysqlSchema,
		found: `SELECT count(*) > 0, coalesce(max(table_comment = 'Haystream demo'), 0)
			FROM information_schema.tables WHERE table_schema = database() AND table_name IN ('auth_user', 'myapp_note')`,
		finish: []string{
			"ALTER TABLE myapp_note COMMENT 'Haystream demo'",
			"ANALYZE LOCAL TABLE auth_user, myapp_tag, myapp_note, myapp_note_tags, myapp_comment",
		},
		code: func(err error) string {
			if refused, ok := errors.AsType[*mysql.MyError](err); ok {
				return strconv.Itoa(int(refused.Code))
			}
			return ""
		},
		passing: []string{
			"1451", "1452", "1062", // foreign key, unique key
			"1205", "1213", "1020", // lock wait, deadlock, a row that changed after the snapshot
			"1053", // shutdown
		},
		cut: "/",
		documents: map[string]string{
			"myapp_note": `json_remove(json_object('title', title, 'slug', slug, 'author_id', user_id, 'pub_date', ` + clock("pub_date") + `,
				'updated', ` + clock("updated") + `, 'views', views, 'rating', rating, 'popular', ` + boolean("views >= 1000") + `,
				'text', concat(title, '\n', body), 'summary', summary), if(summary IS NULL, '$.summary', '$.nothing'))`,
			"auth_user": `json_object('id', id, 'last_login', ` + clock("last_login") + `, 'is_superuser', ` + boolean("is_superuser") + `, 'username', username,
				'first_name', first_name, 'last_name', last_name, 'email', email, 'is_staff', ` + boolean("is_staff") + `, 'is_active', ` + boolean("is_active") + `,
				'date_joined', ` + clock("date_joined") + `)`,
			"myapp_comment": `json_object('body', body, 'created', ` + clock("created") + `, 'note_id', note_id, 'author_id', user_id)`,
			"myapp_tag":     `json_object('name', name, 'slug', slug)`,
		},
	}
}

// sql is the statement with its arguments as the database writes them.
func (d dialect) sql(statement string) string {
	parts := strings.Split(statement, "?")
	if !d.numbered || len(parts) == 1 {
		return statement
	}
	var text strings.Builder
	for i, part := range parts {
		if i > 0 {
			fmt.Fprintf(&text, "$%d", i)
		}
		text.WriteString(part)
	}
	return text.String()
}
