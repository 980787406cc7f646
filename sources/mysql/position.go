package mysql

import (
	"fmt"
	"strconv"
	"strings"

	"haystream/sources"
)

// A position is the end of a transaction: in one server's files, and in the
// history that it shares with others. Its text is server@born/file:offset/gtids,
// without born where it is not known, and without the last part where the server
// numbers no transactions.
type position struct {
	server   string // whose files they are
	born     uint32 // when the server began the file, in seconds of its clock; 0: not known
	file     string // empty: not known yet, as before the first event
	offset   uint64
	numbered bool   // gtids is known; it may be empty
	gtids    string // everything up to it
}

func (p position) String() string {
	text := p.server
	if p.born != 0 {
		text += "@" + strconv.FormatUint(uint64(p.born), 10)
	}
	text += "/" + p.file + ":" + strconv.FormatUint(p.offset, 10)
	if p.numbered {
		text += "/" + p.gtids
	}
	return text
}

func parsePosition(text sources.Position) (position, error) {
	server, rest, ok := strings.Cut(string(text), "/")
	place, gtids, numbered := strings.Cut(rest, "/")
	colon := strings.LastIndexByte(place, ':')
	if !ok || colon < 0 {
		return position{}, fmt.Errorf("%w: position %q is not one of MySQL or MariaDB", sources.ErrPositionLost, text)
	}
	offset, err := strconv.ParseUint(place[colon+1:], 10, 64)
	if err != nil {
		return position{}, fmt.Errorf("%w: position %q: %w", sources.ErrPositionLost, text, err)
	}
	p := position{server: server, file: place[:colon], offset: offset, numbered: numbered, gtids: gtids}
	if at := strings.LastIndexByte(server, '@'); at >= 0 {
		born, err := strconv.ParseUint(server[at+1:], 10, 32)
		if err != nil {
			return position{}, fmt.Errorf("%w: position %q: %w", sources.ErrPositionLost, text, err)
		}
		p.server, p.born = server[:at], uint32(born)
	}
	return p, nil
}

// at reports whether p and q are the same place in the files of one server.
func (p position) at(q position) bool {
	return p.server == q.server && p.file == q.file && p.offset == q.offset
}

// before reports whether p's place in the files comes before q's. Places on
// different servers are in no order: then it reports true.
func (p position) before(q position) bool {
	if p.server != q.server || p.file == "" {
		return true
	}
	if p.file != q.file {
		if a, b := fileNumber(p.file), fileNumber(q.file); a != b {
			return a < b
		}
	}
	return p.offset < q.offset
}

// fileNumber is the number that the server counts a file up by.
func fileNumber(file string) uint64 {
	n, _ := strconv.ParseUint(file[strings.LastIndexByte(file, '.')+1:], 10, 64)
	return n
}

// Reached reports whether a stream at pos has emitted everything up to mark.
func (s *Source) Reached(pos, mark sources.Position) bool {
	at, err := parsePosition(pos)
	if err != nil {
		return false
	}
	until, err := parsePosition(mark)
	return err == nil && !at.before(until)
}

// Where a transaction is, as a Change has it: the file's number and the offset
// at which the transaction begins.
const offsetBits = 40 // a file of a terabyte

func transactionID(file string, began uint64) uint64 {
	return fileNumber(file)<<offsetBits | began&(1<<offsetBits-1)
}
