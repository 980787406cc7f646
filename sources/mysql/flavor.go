package mysql

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A flavor is one of the two servers. Whatever differs between them is asked
// of it, so that the difference has one place.
type flavor uint8

const (
	mysqlServer flavor = iota + 1
	mariadbServer
)

func (f flavor) String() string {
	if f == mariadbServer {
		return "mariadb"
	}
	return "mysql"
}

// product is the server's name as its makers write it.
func (f flavor) product() string {
	if f == mariadbServer {
		return "MariaDB"
	}
	return "MySQL"
}

// session returns the statements that make values read the same whatever the
// server's settings are. A limit ends a query that nobody waits for any more;
// without one the session is for streaming the log.
func (f flavor) session(version string, limit time.Duration) []string {
	set := "SET SESSION time_zone = '+00:00', sql_mode = 'ALLOW_INVALID_DATES', autocommit = 1, group_concat_max_len = 1048576" +
		", sql_select_limit = 18446744073709551615, sql_big_selects = 1, sql_quote_show_create = 1" +
		", eq_range_index_dive_limit = 0" // rows of each value asked for are estimated
	if f == mariadbServer {
		// Long lists of values are looked up in an index like short ones.
		set += fmt.Sprintf(", max_statement_time = %d, in_predicate_conversion_threshold = 0", limit/time.Second)
	} else {
		set += fmt.Sprintf(", max_execution_time = %d", limit/time.Millisecond)
	}
	if f == mysqlServer && !older(version, 8, 0, 30) {
		set += ", show_gipk_in_create_table_and_information_schema = ON"
	}
	if limit == 0 {
		set += fmt.Sprintf(", net_read_timeout = %d, net_write_timeout = %[1]d", dumpPatience/time.Second)
	}
	return []string{
		"SET NAMES utf8mb4",
		set,
		"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
	}
}

// omitsGenerated reports whether generated columns are missing from an
// update's row images. MariaDB 10.11 logs them, 11.8 does so for inserts only;
// MySQL always logs them.
func (f flavor) omitsGenerated(version string) bool {
	return f == mariadbServer && !older(version, 11)
}

// completable reports whether what a partial row image leaves out is as it was
// before. In MariaDB it need not be (see logTable.lacks).
func (f flavor) completable() bool { return f == mysqlServer }

// set is the statement that changes a global variable for good. MariaDB's
// does not outlive a restart.
func (f flavor) set(variable, value string) string {
	if f == mariadbServer {
		return "SET GLOBAL " + variable + " = " + value
	}
	return "SET PERSIST " + variable + " = " + value
}

// oldest is the first version that is supported.
func (f flavor) oldest() []int {
	if f == mariadbServer {
		return []int{10, 6}
	}
	return []int{8, 0}
}

// seesLog is the privilege that logStatus takes.
func (f flavor) seesLog() string {
	if f == mariadbServer {
		return "BINLOG MONITOR"
	}
	return "REPLICATION CLIENT"
}

// logStatus is the statement that says where the log ends.
func (f flavor) logStatus(version string) string {
	if f == mariadbServer || older(version, 8, 4, 0) {
		return "SHOW MASTER STATUS"
	}
	return "SHOW BINARY LOG STATUS"
}

// collations is the table that numbers them: in newer MariaDB one collation has
// a number for each character set.
func (f flavor) collations(version string) string {
	if f == mariadbServer && !older(version, 10, 10) {
		return "COLLATION_CHARACTER_SET_APPLICABILITY"
	}
	return "COLLATIONS"
}

// older reports whether a server's version is below the given one.
func older(version string, than ...int) bool {
	version, _, _ = strings.Cut(version, "-")
	parts := strings.Split(version, ".")
	for i, want := range than {
		n := 0
		if i < len(parts) {
			n, _ = strconv.Atoi(parts[i])
		}
		if n != want {
			return n < want
		}
	}
	return false
}
