package mysql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"
	"github.com/google/uuid"

	"haystream/sources"
)

// A header is what every event begins with (MySQL documentation, "Binlog Event
// Header"; all numbers are least significant byte first).
type header struct {
	time  uint32 // seconds
	kind  replication.EventType
	size  uint32
	end   uint32 // offset in the file, its lower 32 bits; 0: not known
	flags uint16
}

const (
	sizeAt        = 9
	headerSize    = replication.EventHeaderSize
	checksumSize  = replication.BinlogChecksumLength
	flagFaked     = replication.LOG_EVENT_ARTIFICIAL_F
	flagIgnorable = replication.LOG_EVENT_IGNORABLE_F
)

func readHeader(data []byte) (header, error) {
	if len(data) < headerSize {
		return header{}, errors.New("an event is shorter than its header")
	}
	h := header{
		time: binary.LittleEndian.Uint32(data), kind: replication.EventType(data[4]),
		size: binary.LittleEndian.Uint32(data[sizeAt:]), end: binary.LittleEndian.Uint32(data[13:]), flags: binary.LittleEndian.Uint16(data[17:]),
	}
	if int(h.size) != len(data) {
		return h, fmt.Errorf("%s: %d bytes, its header says %d", h.kind, len(data), h.size)
	}
	return h, nil
}

// newFile forgets what is good for one file only.
func (st *stream) newFile() {
	st.parser = replication.NewBinlogParser()
	st.parser.SetFlavor(st.conn.flavor.String())
	st.logTables = map[uint64]*logTable{}
}

// event takes one event of the log.
func (st *stream) event(data []byte) error {
	h, err := readHeader(data)
	if err != nil {
		return err
	}
	if data, err = st.verify(h, data); err != nil {
		return err
	}
	switch h.kind {
	case replication.ROTATE_EVENT, replication.HEARTBEAT_EVENT, replication.HEARTBEAT_LOG_EVENT_V2, replication.FORMAT_DESCRIPTION_EVENT:
		return st.place(h, data)
	}
	began := st.offset
	if h.flags&flagFaked == 0 {
		st.offset = extend(st.offset, h)
		began = st.offset - uint64(h.size)
	}
	if st.file == st.skip.file && began < st.skip.offset {
		return nil
	}
	if err := st.content(h, data, began); err != nil {
		return fmt.Errorf("%s at %s:%d: %w", h.kind, st.file, began, err)
	}
	if !st.tx.open {
		st.moved()
	}
	return nil
}

// verify checks and cuts off the checksum.
func (st *stream) verify(h header, data []byte) ([]byte, error) {
	if h.kind == replication.FORMAT_DESCRIPTION_EVENT {
		return data, nil // it says itself whether it has one
	}
	cut := len(data) - checksumSize
	has := st.checksum && cut >= headerSize
	if has || h.kind == replication.ROTATE_EVENT && cut >= headerSize {
		good := crc32.ChecksumIEEE(data[:cut]) == binary.LittleEndian.Uint32(data[cut:])
		if has && !good && h.flags&flagFaked == 0 {
			return nil, fmt.Errorf("%s: its checksum is wrong", h.kind)
		}
		has = good // the first one, before any file, may come either way
	}
	if !has {
		return data, nil
	}
	binary.LittleEndian.PutUint32(data[sizeAt:], uint32(cut)) // for the parser
	return data[:cut], nil
}

// extend is the end of an event in the file: a header has 32 bits of it, or
// none inside a transaction of newer MariaDB.
func extend(offset uint64, h header) uint64 {
	if h.end == 0 {
		return offset + uint64(h.size)
	}
	end := offset&^(1<<32-1) | uint64(h.end)
	if end < offset && offset-end > 1<<31 {
		end += 1 << 32
	}
	return end
}

// moved notes that the log has gone on outside a transaction. Never back: the
// server may begin to read in front of what is asked for.
func (st *stream) moved() {
	p := st.here()
	if st.end.before(p) || st.end.at(p) && st.end.born == 0 {
		st.end = p
	}
}

// here is where the stream is in the server's files.
func (st *stream) here() position {
	return position{server: st.server, born: st.born, file: st.file, offset: st.offset}
}

// place takes events that say where in which file the stream is.
func (st *stream) place(h header, data []byte) error {
	body := data[headerSize:]
	switch h.kind {
	case replication.FORMAT_DESCRIPTION_EVENT:
		st.newFile()
		event, err := st.parser.Parse(bytes.Clone(data)) // which it goes on looking at
		if err != nil {
			return fmt.Errorf("parse %s: %w", h.kind, err)
		}
		format, ok := event.Event.(*replication.FormatDescriptionEvent)
		if !ok {
			return fmt.Errorf("parse %s: it is a %T", h.kind, event.Event)
		}
		st.checksum = format.ChecksumAlgorithm == replication.BINLOG_CHECKSUM_ALG_CRC32
		format.ChecksumAlgorithm = replication.BINLOG_CHECKSUM_ALG_OFF // the parser shall not cut it off again
		st.born = h.time
		if h.end != 0 && h.flags&flagFaked == 0 {
			st.offset = uint64(h.end)
		}
	case replication.ROTATE_EVENT:
		if len(body) < 8 {
			return fmt.Errorf("%s: it is too short", h.kind)
		}
		st.file, st.offset, st.born = string(body[8:]), binary.LittleEndian.Uint64(body), 0
		if h.flags&flagFaked != 0 && st.file != st.end.file {
			st.offset = firstOffset
		}
		return nil // the file has begun when its first event comes
	case replication.HEARTBEAT_EVENT, replication.HEARTBEAT_LOG_EVENT_V2:
		event, err := st.parser.Parse(data)
		if err != nil {
			return fmt.Errorf("parse %s: %w", h.kind, err)
		}
		beat, ok := event.Event.(*replication.HeartbeatEvent)
		if !ok || st.tx.open {
			return nil
		}
		st.batch.Quiet()
		switch {
		case beat.Offset > 0:
			st.file, st.offset = beat.Filename, beat.Offset
		case beat.Filename == st.file:
			st.offset = extend(st.offset, header{end: h.end})
		default:
			st.file, st.offset = beat.Filename, uint64(h.end)
		}
	}
	if !st.tx.open {
		st.moved()
	}
	return nil
}

// content takes an event of a transaction, or one that says nothing to us.
func (st *stream) content(h header, data []byte, began uint64) error {
	switch h.kind {
	case replication.GTID_EVENT, replication.ANONYMOUS_GTID_EVENT, replication.GTID_TAGGED_LOG_EVENT, replication.MARIADB_GTID_EVENT:
		return st.openTransaction(h, data, began)
	case replication.TABLE_MAP_EVENT:
		return st.tableMap(data)
	case replication.WRITE_ROWS_EVENTv1, replication.UPDATE_ROWS_EVENTv1, replication.DELETE_ROWS_EVENTv1,
		replication.WRITE_ROWS_EVENTv2, replication.UPDATE_ROWS_EVENTv2, replication.DELETE_ROWS_EVENTv2,
		replication.MARIADB_WRITE_ROWS_COMPRESSED_EVENT_V1, replication.MARIADB_UPDATE_ROWS_COMPRESSED_EVENT_V1,
		replication.MARIADB_DELETE_ROWS_COMPRESSED_EVENT_V1, replication.PARTIAL_UPDATE_ROWS_EVENT:
		return st.changes(h.kind, data[headerSize:])
	case replication.QUERY_EVENT, replication.MARIADB_QUERY_COMPRESSED_EVENT:
		return st.query(data)
	case replication.XID_EVENT:
		return st.closeTransaction()
	case replication.XA_PREPARE_LOG_EVENT:
		return st.prepare(data[headerSize:])
	case replication.TRANSACTION_PAYLOAD_EVENT:
		return st.payload(data[headerSize:], began)
	case replication.INCIDENT_EVENT:
		return fmt.Errorf("%w: the server has lost events that should be here", sources.ErrPositionLost)
	case replication.EXECUTE_LOAD_QUERY_EVENT:
		event, err := loadQuery(data[headerSize:])
		if err != nil {
			return err
		}
		return st.statementFormat(st.statement(event))
	case replication.LOAD_EVENT, replication.NEW_LOAD_EVENT, replication.EXEC_LOAD_EVENT:
		return st.statementFormat(statement{kind: callingStatement, verb: "LOAD"})
	case replication.STOP_EVENT, replication.INTVAR_EVENT, replication.RAND_EVENT, replication.USER_VAR_EVENT, replication.BEGIN_LOAD_QUERY_EVENT,
		replication.APPEND_BLOCK_EVENT, replication.DELETE_FILE_EVENT, replication.IGNORABLE_EVENT, replication.ROWS_QUERY_EVENT,
		replication.PREVIOUS_GTIDS_EVENT, replication.TRANSACTION_CONTEXT_EVENT, replication.VIEW_CHANGE_EVENT,
		replication.MARIADB_ANNOTATE_ROWS_EVENT, replication.MARIADB_BINLOG_CHECKPOINT_EVENT, replication.MARIADB_GTID_LIST_EVENT,
		replication.MARIADB_START_ENCRYPTION_EVENT:
		return nil
	}
	if h.flags&flagIgnorable != 0 {
		return nil
	}
	return fmt.Errorf("%w: an event of the unknown type %d; this version of the server may be newer than Haystream", sources.ErrConfig, h.kind)
}

// openTransaction begins with a transaction's number.
func (st *stream) openTransaction(h header, data []byte, began uint64) error {
	st.tx = transaction{wrote: st.tx.wrote[:0], open: true, began: began, id: transactionID(st.file, began), commit: time.Unix(int64(h.time), 0)}
	body := data[headerSize:]
	switch h.kind {
	case replication.MARIADB_GTID_EVENT:
		const flagPreparedXA = 64 // MariaDB source, Gtid_log_event::FL_PREPARED_XA
		var event replication.MariadbGTIDEvent
		if len(body) < 13 {
			return errors.New("it is too short")
		}
		if err := event.Decode(body); err != nil {
			return fmt.Errorf("parse it: %w", err)
		}
		st.tx.gtid = gtid{domain: event.GTID.DomainID, server: binary.LittleEndian.Uint32(data[5:]), number: event.GTID.SequenceNumber}
		st.tx.begun = !event.IsStandalone()
		st.tx.undone = undoneAlter(body, event.Flags)
		if event.Flags&flagPreparedXA != 0 {
			st.prepared.begin()
		}
		return nil
	case replication.GTID_TAGGED_LOG_EVENT:
		var event replication.GtidTaggedLogEvent
		if err := event.Decode(body); err != nil {
			return fmt.Errorf("parse it: %w", err)
		}
		return st.tx.number(&event.GTIDEvent)
	}
	var event replication.GTIDEvent
	if len(body) < 25 {
		return errors.New("it is too short")
	}
	if err := event.Decode(body); err != nil {
		return fmt.Errorf("parse it: %w", err)
	}
	return st.tx.number(&event)
}

// undoneAlter reports whether the ALTER that follows has only begun, or was rolled
// back since: with binlog_alter_two_phase the log has it again when it is done
// (MariaDB source, Gtid_log_event).
func undoneAlter(body []byte, flags byte) bool {
	const (
		fixed                                  = 8 + 4 + 1
		grouped                                = 2
		preparedXA, completedXA                = 64, 128
		startAlter, commitAlter, rollbackAlter = 2, 4, 8
	)
	at := fixed
	if flags&grouped != 0 {
		at += 8
	}
	if flags&(preparedXA|completedXA) != 0 || len(body) <= at {
		return false
	}
	return body[at]&(startAlter|rollbackAlter) != 0 && body[at]&commitAlter == 0
}

func (t *transaction) number(event *replication.GTIDEvent) error {
	source, err := uuid.FromBytes(event.SID)
	if err != nil {
		return fmt.Errorf("read GTID: %w", err)
	}
	t.gtid = gtid{source: source, tag: event.Tag, number: uint64(event.GNO)}
	if event.OriginalCommitTimestamp > 0 {
		t.commit = time.UnixMicro(int64(event.OriginalCommitTimestamp))
	}
	return nil
}

// closeTransaction is its commit.
func (st *stream) closeTransaction() error {
	if st.gtids != nil && st.tx.open && st.tx.gtid.number > 0 {
		st.gtids.add(st.tx.gtid)
	}
	if st.tx.numbers {
		st.batch.Transactions++
		st.number = st.versions.Last()
	}
	st.tx = transaction{wrote: st.tx.wrote[:0]}
	st.moved()
	return st.ended()
}
