package mysql

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"

	"haystream/sources"
)

// Error codes that are told apart (MySQL documentation, "Server Error Message
// Reference"; MariaDB documentation, "MariaDB Error Codes").
const (
	codeTooManyConnections = 1040
	codeTooManyOfUser      = 1203
	codeUserLimit          = 1226
	codeDatabaseDenied     = 1044
	codeAccessDenied       = 1045
	codeUnknownDatabase    = 1049
	codeHostBlocked        = 1129
	codeHostNotAllowed     = 1130
	codeUnknownColumn      = 1054
	codeTableDenied        = 1142
	codeColumnDenied       = 1143
	codeNoSuchTable        = 1146
	codeLockWait           = 1205
	codePrivilegeDenied    = 1227
	codeLogUnreadable      = 1236 // where the dump should begin or go on
	codeOldAuthentication  = 1251
	codeDeniedNoPassword   = 1698
	codeMustChangePassword = 1820
	codeMustChangeAtLogin  = 1862
	codeAccountLocked      = 3118
	codeTLSRequired        = 3159
	codePurged             = 1789 // transactions that the dump should begin with
	codeAccountLockedMaria = 4151
	codeSameIDMaria        = 4052 // another replica of the daemon's id

	// Of one table's files.
	codeKeyFile             = 1034
	codeOldKeyFile          = 1035
	codeStorageError        = 1030
	codeCrashed             = 1194
	codeCrashedRepair       = 1195
	codeNoEngine            = 1286
	codeIndexCorrupt        = 1712
	codeNoTablespace        = 1812
	codeTablespaceDiscarded = 1814
	codeTableCorrupt        = 1877
	codeNotInEngine         = 1932
	codeKeyMissing          = 3185
	codeKeyMissingMaria     = 1296

	// Of a text whose characters a column's set does not have.
	codeMixedCollations  = 1267
	codeMixedCollations3 = 1270
	codeMixedCollationsN = 1271
	codeUnconvertible    = 3854
)

// serverCode is the code of a server's error; 0 for any other.
func serverCode(err error) uint16 {
	if server, ok := errors.AsType[*mysql.MyError](err); ok {
		return server.Code
	}
	return 0
}

// explain marks what a person must mend, and says how: refused logins, missing
// databases and missing privileges. Everything else stays as it is.
func explain(err error) error {
	if err == nil || sources.Known(err) || errors.Is(err, sources.ErrUnreadable) {
		return err
	}
	switch serverCode(err) {
	case codeTooManyConnections, codeTooManyOfUser, codeUserLimit: // which passes
		return fmt.Errorf("%w; end connections that are not needed, or raise max_connections or the user's own limits", err)
	}
	remedy := remedyOf(err)
	if remedy == "" {
		return err
	}
	if server, ok := errors.AsType[*mysql.MyError](err); ok {
		err = server // without the client library's own path to it
	}
	return fmt.Errorf("%w: %w; %s", sources.ErrConfig, err, remedy)
}

func remedyOf(err error) string {
	switch serverCode(err) {
	case codeAccessDenied, codeDeniedNoPassword:
		return "correct the user or the password; create the user for the host that the server names; or, where it may log in over TLS only, set ssl-mode=REQUIRED in source.url"
	case codeDatabaseDenied, codeTableDenied, codeColumnDenied:
		return "GRANT SELECT on it to the user"
	case codePrivilegeDenied:
		return "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* to the user"
	case codeHostNotAllowed:
		return "create the user for this host, as in 'user'@'%'"
	case codeHostBlocked:
		return "run FLUSH HOSTS on the server, and see why connections failed"
	case codeMustChangePassword, codeMustChangeAtLogin:
		return "give the user a new password with ALTER USER"
	case codeAccountLocked, codeAccountLockedMaria:
		return "run ALTER USER … ACCOUNT UNLOCK"
	case codeTLSRequired:
		return "the user may log in only over TLS: set ssl-mode=REQUIRED in source.url, or enable TLS on the server"
	case codeOldAuthentication:
		return authenticationRemedy
	case 0:
		return remedyOfClient(err)
	}
	return ""
}

const authenticationRemedy = "the user's authentication plugin is not supported: use caching_sha2_password (MySQL), ed25519 or mysql_native_password"

// remedyOfClient is the remedy for what failed on this side.
func remedyOfClient(err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errNoTLS):
		return "enable TLS on the server, or set ssl-mode=PREFERRED in source.url"
	case errors.As(err, &unknown):
		return "name the authority's certificate with ssl-ca in source.url"
	case errors.As(err, &name):
		return "connect by a name that the certificate has, or set ssl-mode=VERIFY_CA in source.url"
	case errors.As(err, &invalid), errors.As(err, &verification):
		return "give the server a certificate that is valid, or set ssl-mode=REQUIRED in source.url"
	case strings.Contains(err.Error(), "auth plugin"):
		return authenticationRemedy
	}
	return ""
}

// explainDump tells what an error of the dump or of the stream means.
func explainDump(err error) error {
	switch code := serverCode(err); {
	case code == codeSameIDMaria, code == codeLogUnreadable && strings.Contains(err.Error(), "same server_uuid/server_id"):
		return fmt.Errorf("%w; another replica, or another daemon, has the daemon's id: set source.server_id to a number that no other has", err)
	case code == codeLogUnreadable, code == codePurged:
		return fmt.Errorf("%w: %w", sources.ErrPositionLost, err)
	}
	return explain(err)
}
