package postgres

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// A message reads the fields of one pgoutput message (PostgreSQL
// documentation, "Logical Replication Message Formats"). Reading past the end
// gives zeros and is remembered, so that a message is checked once, at its end.
type message struct {
	rest  []byte
	short bool
}

func (m *message) take(n int) []byte {
	if n < 0 || n > len(m.rest) {
		m.short, m.rest = true, nil
		return nil
	}
	taken := m.rest[:n:n]
	m.rest = m.rest[n:]
	return taken
}

func (m *message) uint8() byte {
	if b := m.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (m *message) uint16() uint16 {
	if b := m.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (m *message) uint32() uint32 {
	if b := m.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (m *message) uint64() uint64 {
	if b := m.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// text reads a string that ends with a zero byte.
func (m *message) text() string {
	end := bytes.IndexByte(m.rest, 0)
	if end < 0 {
		m.short, m.rest = true, nil
		return ""
	}
	return string(m.take(end + 1)[:end])
}

func (m *message) err(kind string) error {
	if m.short {
		return fmt.Errorf("decode %s: message is cut short", kind)
	}
	return nil
}

// A relationMessage describes the relation that the changes after it name by
// its OID, as it was when they were made.
type relationMessage struct {
	oid          uint32
	schema, name string
	columns      []relationColumn
}

type relationColumn struct {
	name   string
	oid    uint32
	typmod int32
	key    bool // part of the replica identity
}

func decodeRelation(m *message) (relationMessage, error) {
	r := relationMessage{oid: m.uint32(), schema: m.text(), name: m.text()}
	if r.schema == "" {
		r.schema = "pg_catalog" // sent as an empty string
	}
	m.uint8() // the kind of replica identity: each row says what it carries
	columns := int(m.uint16())
	for range columns {
		if m.short {
			break
		}
		r.columns = append(r.columns, relationColumn{
			key: m.uint8()&1 != 0, name: m.text(), oid: m.uint32(), typmod: int32(m.uint32()),
		})
	}
	return r, m.err("relation")
}

// A tupleField is one column of a tuple, as the message holds it.
type tupleField struct {
	kind byte // one of the following
	text []byte
}

const (
	fieldNull      = 'n'
	fieldUnchanged = 'u' // a TOASTed value that did not change
	fieldText      = 't'
)

// tuple reads a row into fields, whose memory is reused. The texts are views of the message.
func (m *message) tuple(fields []tupleField) []tupleField {
	fields = fields[:0]
	n := int(m.uint16())
	for range n {
		f := tupleField{kind: m.uint8()}
		switch f.kind {
		case fieldText:
			f.text = m.take(int(int32(m.uint32())))
		case fieldNull, fieldUnchanged:
		default:
			m.short = true
		}
		if m.short {
			return fields
		}
		fields = append(fields, f)
	}
	return fields
}
