package mysql

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// MariaDB's row images end with columns that the catalog does not have: of a
// system-versioned table that does not name them when a row began and when it
// ended to be, and of each unique key that is kept as a hash, that hash (MariaDB
// source, sql/table.cc, TABLE_SHARE::init_from_binary_frm_image).
const (
	rowStart = "row_start"
	rowEnd   = "row_end"
	rowHash  = "DB_ROW_HASH_"
)

// hidden reads the columns of the log that are not the catalog's, and says which
// of them is the row's end; -1: none. An error says that they are others than
// those to expect: the log and the catalog are of different times. Strange: they
// are of no kind that is known.
func (t *table) hidden(of flavor, names []string, wires []byte) (end int, strange bool, err error) {
	end = -1
	hashes := 0
	for i, wire := range wires {
		timestamp := of == mariadbServer && t.unnamedEnd && wire == mysql.MYSQL_TYPE_TIMESTAMP2
		switch name := names[i]; {
		case timestamp && (name == rowStart || name == "" && i == 0):
		case timestamp && (name == rowEnd || name == "" && i == 1):
			end = i
		case of == mariadbServer && wire == mysql.MYSQL_TYPE_LONGLONG && (name == "" || strings.HasPrefix(name, rowHash)):
			hashes++
		default:
			return -1, true, fmt.Errorf("column %s is not in the table", cmp.Or(name, "behind its last one"))
		}
	}
	if hashes != t.hashes || (end >= 0) != t.unnamedEnd {
		err = fmt.Errorf("%d columns are not in the table", len(wires))
	}
	return end, false, err
}

// endSize is the size of a TIMESTAMP(6) in a row image.
const endSize = 4 + 3

// present reports whether an image of a system-versioned table is of a row that
// is there now, and not of one that was: its end is the last moment that there
// is, which MariaDB 11.5 has moved from 2038 to 2106.
func present(end []byte) bool {
	const seconds = 4
	return len(end) == endSize && bytes.Equal(end[seconds:], []byte{0x0f, 0x42, 0x3f}) && // 999999 microseconds
		(bytes.Equal(end[:seconds], []byte{0x7f, 0xff, 0xff, 0xff}) || bytes.Equal(end[:seconds], []byte{0xff, 0xff, 0xff, 0xff}))
}
