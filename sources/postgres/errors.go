package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"haystream/sources"
)

// SQLSTATE codes that are told apart (PostgreSQL documentation, "PostgreSQL Error Codes").
const (
	codeObjectInUse           = "55006"
	codeLockNotAvailable      = "55P03"
	codeUndefinedFile         = "58P01"
	codeUndefinedObject       = "42704"
	codeUndefinedTable        = "42P01"
	codeUndefinedColumn       = "42703"
	codeUndefinedSchema       = "3F000"
	codeInsufficientPrivilege = "42501"
	codeInvalidPassword       = "28P01"
	codeObjectNotReady        = "55000"
	codeUntranslatable        = "22P05"
	codeNotInRepertoire       = "22021"
	codeTooManyConnections    = "53300"
	codeConfigurationLimit    = "53400"
	codeUndefinedDatabase     = "3D000"
	codeCannotConnectNow      = "57P03" // the server starts or shuts down
	codeQueryCanceled         = "57014" // by a statement timeout, where we did not cancel it
	classAuthorization        = "28"
	classData                 = "22" // values that cannot be printed or converted
	classConstraint           = "23"
	classSchema               = "3F"
	classSyntax               = "42" // also names of nothing
	classInternal             = "XX" // damaged data
	classIntervention         = "57" // the server starts, or is shut down
	classLimit                = "54"
)

// sqlState is the code of a server's error; empty for any other.
func sqlState(err error) string {
	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		return server.Code
	}
	return ""
}

// explain marks what a person must mend, and says how: refused logins, missing
// databases and missing privileges. Everything else, such as a network that is
// cut, stays as it is.
func explain(err error, config *pgx.ConnConfig) error {
	if err == nil || sources.Known(err) || errors.Is(err, sources.ErrUnreadable) {
		return err
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		err = onOneLine{err}
	}
	server, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return err
	}
	if server.Code == codeTooManyConnections {
		return fmt.Errorf("%w; end connections that are not needed, or raise the limit that it names", err)
	}
	remedy := remedyOf(server, config)
	switch code := server.Code; {
	case remedy != "":
		return fmt.Errorf("%w: %w; %s", sources.ErrConfig, err, remedy)
	case code == codeInsufficientPrivilege, strings.HasPrefix(code, classAuthorization):
		return fmt.Errorf("%w: %w", sources.ErrConfig, err)
	}
	return err
}

// onOneLine is an error of the driver, which has a line for each attempt to connect, some of them twice.
type onOneLine struct{ error }

func (e onOneLine) Unwrap() error { return e.error }

func (e onOneLine) Error() string {
	var lines []string
	for line := range strings.Lines(e.error.Error()) {
		line = strings.TrimSpace(line)
		if !slices.ContainsFunc(lines, func(before string) bool { return strings.Contains(before, line) }) {
			lines = append(lines, line)
		}
	}
	if len(lines) > 1 && strings.HasSuffix(lines[0], ":") {
		lines = append([]string{lines[0] + " " + lines[1]}, lines[2:]...)
	}
	return strings.Join(lines, "; ")
}

// remedyOf says what mends a refusal. The routine of the server that refused
// tells those of one code apart, in whatever language the message is.
func remedyOf(e *pgconn.PgError, config *pgx.ConnConfig) string {
	role, database := quote(config.User), quote(config.Database)
	switch {
	case e.Code == codeInvalidPassword:
		return "correct the user or the password in source.url or source.password_file"
	case e.Code == codeUndefinedDatabase:
		return "create the database, or correct its name in source.url"
	case e.Code == codeObjectNotReady && e.Routine == "CheckMyDatabase":
		return "run: ALTER DATABASE " + database + " ALLOW_CONNECTIONS true"
	case strings.HasPrefix(e.Code, classAuthorization) && e.Routine == "ClientAuthentication":
		return "allow the role " + role + " and the database " + database + " for this host in pg_hba.conf, and reload the server"
	case strings.HasPrefix(e.Code, classAuthorization) && e.Routine == "InitializeSessionUserId":
		return "run: ALTER ROLE " + role + " LOGIN; where there is no such role, create it, or correct the user in source.url"
	case e.Code != codeInsufficientPrivilege:
		return ""
	}
	switch e.Routine {
	case "CheckMyDatabase":
		return "run: GRANT CONNECT ON DATABASE " + database + " TO " + role
	case "InitPostgres":
		return "run: ALTER ROLE " + role + " REPLICATION"
	case "check_enable_rls":
		return "run: ALTER ROLE " + role + " BYPASSRLS"
	}
	return ""
}

// explainStream tells what an error of START_REPLICATION or of the stream means.
func explainStream(err error, config *pgx.ConnConfig) error {
	switch sqlState(err) {
	case codeObjectInUse:
		return fmt.Errorf("%w: %w", sources.ErrBusy, err)
	case codeUndefinedObject, codeUndefinedFile:
		// The slot, the log itself or, for some stretch of the log, the
		// publication is gone.
		return fmt.Errorf("%w: %w", sources.ErrPositionLost, err)
	}
	return explain(err, config)
}
