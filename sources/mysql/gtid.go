package mysql

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/google/uuid"
)

// A gtid is a transaction's number in the history of all servers: MySQL's with
// a source and a tag, or MariaDB's with a domain and a server.
type gtid struct {
	source uuid.UUID
	tag    mysql.Tag

	domain, server uint32

	number uint64
}

// A gtidSet is the part of a history that was read.
type gtidSet interface {
	add(g gtid)
	String() string
}

// parseGTIDs reads a set as the server writes it.
func (f flavor) parseGTIDs(text string) (gtidSet, error) {
	if f == mariadbServer {
		return parseDomains(text)
	}
	parsed, err := mysql.ParseMysqlGTIDSet(text)
	set, ok := parsed.(*mysql.MysqlGTIDSet)
	if err != nil || !ok {
		return nil, fmt.Errorf("parse GTID set: %w", err)
	}
	return sourceSet{set}, nil
}

// A sourceSet is MySQL's: for each source all numbers, with holes.
type sourceSet struct{ *mysql.MysqlGTIDSet }

func (s sourceSet) add(g gtid) {
	if g.tag.String() != "" {
		s.AddGTIDWithTag(g.source, g.tag, int64(g.number))
		return
	}
	s.AddGTID(g.source, int64(g.number))
}

// A domainSet is MariaDB's: the last transaction of each domain.
type domainSet map[uint32]gtid

func parseDomains(text string) (domainSet, error) {
	set := domainSet{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		parts := strings.Split(item, "-")
		if len(parts) != 3 {
			return nil, fmt.Errorf("parse GTID %q: it is not domain-server-number", item)
		}
		var numbers [3]uint64
		for i, part := range parts {
			bits := 32
			if i == 2 {
				bits = 64
			}
			n, err := strconv.ParseUint(part, 10, bits)
			if err != nil {
				return nil, fmt.Errorf("parse GTID %q: %w", item, err)
			}
			numbers[i] = n
		}
		set.add(gtid{domain: uint32(numbers[0]), server: uint32(numbers[1]), number: numbers[2]})
	}
	return set, nil
}

func (s domainSet) add(g gtid) { s[g.domain] = g }

func (s domainSet) String() string {
	var text []byte
	for i, g := range slices.SortedFunc(maps.Values(s), func(a, b gtid) int { return cmp.Compare(a.domain, b.domain) }) {
		if i > 0 {
			text = append(text, ',')
		}
		text = fmt.Appendf(text, "%d-%d-%d", g.domain, g.server, g.number)
	}
	return string(text)
}
