package mysql

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"

	"haystream/sources"
)

func TestExplain(t *testing.T) {
	server := func(code uint16) error {
		return fmt.Errorf("query: %w", &mysql.MyError{Code: code, State: "42000", Message: "as the server says"})
	}
	tests := []struct {
		err    error
		remedy string // empty: it may go away by itself
	}{
		{server(codeAccessDenied), "correct the user or the password"},
		{server(codeDatabaseDenied), "GRANT SELECT"},
		{server(codeTableDenied), "GRANT SELECT"},
		{server(codePrivilegeDenied), "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.*"},
		{server(codeHostNotAllowed), "create the user for this host"},
		{server(codeHostBlocked), "run FLUSH HOSTS"},
		{server(codeMustChangePassword), "give the user a new password"},
		{server(codeTLSRequired), "ssl-mode=REQUIRED"},
		{server(codeOldAuthentication), "authentication plugin is not supported"},
		{errors.New("handleAuthResult: auth plugin 'parsec' is not supported"), "authentication plugin is not supported"},
		{errNoTLS, "enable TLS on the server"},
		{server(1053), ""}, // the server shuts down
		{server(1205), ""}, // lock wait timeout
		{server(codeNoSuchTable), ""},
		{server(codeUnknownDatabase), ""},
		{mysql.ErrBadConn, ""},
		{fmt.Errorf("stream: %w", sources.ErrPositionLost), ""},
	}
	for _, test := range tests {
		got := explain(test.err)
		if test.remedy == "" {
			if got.Error() != test.err.Error() {
				t.Errorf("%v becomes %v", test.err, got)
			}
			continue
		}
		if !errors.Is(got, sources.ErrConfig) || !strings.Contains(got.Error(), test.remedy) || serverCode(got) != serverCode(test.err) {
			t.Errorf("%v becomes %v, want %s", test.err, got, test.remedy)
		}
	}
	for _, code := range []uint16{codeTooManyConnections, codeTooManyOfUser, codeUserLimit} {
		if got := explain(server(code)); errors.Is(got, sources.ErrConfig) || !strings.Contains(got.Error(), "raise max_connections") || serverCode(got) != code {
			t.Errorf("too many connections become %v", got)
		}
	}
	for _, same := range []*mysql.MyError{
		{Code: codeLogUnreadable, Message: "A slave with the same server_uuid/server_id as this slave has connected to the master; the first event '' at 4"},
		{Code: codeSameIDMaria, Message: "A slave with the same server_id is already connected"},
	} {
		if got := explainDump(same); sources.Known(got) || !strings.Contains(got.Error(), "set source.server_id") {
			t.Errorf("an id that is taken becomes %v", got)
		}
	}
	if explain(nil) != nil {
		t.Error("no error becomes one")
	}
}
