package postgres

import (
	"errors"
	"fmt"
	"strings"

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
	codeConfigurationLimit    = "53400"
	codeUndefinedDatabase     = "3D000"
	codeCannotConnectNow      = "57P03" // the server starts or shuts down
	codeQueryCanceled         = "57014" // by a statement timeout, where we did not cancel it
	classAuthorization        = "28"
	classData                 = "22" // values that cannot be printed or converted
	classInternal             = "XX" // damaged data
	classLimit                = "54"
)

// sqlState is the code of a server's error; empty for any other.
func sqlState(err error) string {
	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		return server.Code
	}
	return ""
}

// explain marks what a person must mend: refused logins, missing databases and
// missing privileges. Everything else stays as it is.
func explain(err error) error {
	if err == nil || sources.Known(err) || errors.Is(err, sources.ErrUnreadable) {
		return err
	}
	code := sqlState(err)
	if code == codeInsufficientPrivilege || code == codeUndefinedDatabase || strings.HasPrefix(code, classAuthorization) {
		return fmt.Errorf("%w: %w", sources.ErrConfig, err)
	}
	return err
}

// explainStream tells what an error of START_REPLICATION or of the stream means.
func explainStream(err error) error {
	switch sqlState(err) {
	case codeObjectInUse:
		return fmt.Errorf("%w: %w", sources.ErrBusy, err)
	case codeUndefinedObject, codeUndefinedFile:
		// The slot, the log itself or, for some stretch of the log, the
		// publication is gone.
		return fmt.Errorf("%w: %w", sources.ErrPositionLost, err)
	}
	return explain(err)
}
