package mysql

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"haystream/sources"
)

const (
	// heartbeatEvery is when an idle server says where it is.
	heartbeatEvery = 500 * time.Millisecond

	// silence is how long a server may say nothing.
	silence = 30 * time.Second

	// reportedHost is what the server lists the daemon as among its replicas.
	reportedHost = "haystream"

	firstOffset = 4 // of the first event in a file, after the magic number
)

// serverID is the id under which the daemon is among the server's replicas.
func serverID(cfg sources.Config) uint32 {
	if cfg.ServerID != 0 {
		return cfg.ServerID
	}
	const derived = 1 << 30 // above what people number their servers with
	return derived | crc32.ChecksumIEEE([]byte(cfg.Slot))&(derived-1)
}

// startDump makes the server send its log after the position.
func (s *Source) startDump(ctx context.Context, c *conn, from position, byGTID bool) error {
	settings := []string{
		// Events come as they are in the file, so that offsets can be counted.
		"@master_binlog_checksum = @@GLOBAL.binlog_checksum", "@source_binlog_checksum = @@GLOBAL.binlog_checksum",
		fmt.Sprintf("@master_heartbeat_period = %d", heartbeatEvery.Nanoseconds()),
		fmt.Sprintf("@source_heartbeat_period = %d", heartbeatEvery.Nanoseconds()),
	}
	if c.flavor == mariadbServer {
		settings = append(settings, "@mariadb_slave_capability = 4") // knows GTIDs
		if byGTID {
			settings = append(settings, "@slave_connect_state = "+literal(from.gtids), "@slave_gtid_strict_mode = 1", "@slave_gtid_ignore_duplicates = 0")
		}
	}
	if err := c.exec(ctx, "SET "+strings.Join(settings, ", ")); err != nil {
		return fmt.Errorf("set up dump: %w", err)
	}
	if err := c.register(ctx, serverID(s.cfg)); err != nil {
		return fmt.Errorf("register as a replica: %w", err)
	}
	var err error
	switch {
	case c.flavor == mysqlServer && byGTID:
		err = s.dumpAfterGTIDs(c, from.gtids)
	case byGTID:
		err = s.dumpFrom(c, "", firstOffset)
	default:
		err = s.dumpFrom(c, from.file, from.offset)
	}
	if err != nil {
		return fmt.Errorf("ask for the log: %w", err)
	}
	return nil
}

// register lists the daemon among the server's replicas (MySQL documentation, "COM_REGISTER_SLAVE").
func (c *conn) register(ctx context.Context, serverID uint32) error {
	data := binary.LittleEndian.AppendUint32(nil, serverID)
	data = append(append(data, byte(len(reportedHost))), reportedHost...)
	data = append(data, 0, 0)       // no user, no password
	data = append(data, 0, 0)       // no port
	data = append(data, 0, 0, 0, 0) // rank, which nobody reads
	data = append(data, 0, 0, 0, 0) // the source's id, which the server fills in
	release := c.guard(ctx)
	err := c.command(mysql.COM_REGISTER_SLAVE, data)
	if err == nil {
		_, err = c.next()
	}
	if ended := release(); ended != nil {
		return ended
	}
	return err
}

// dumpFrom starts at a place in a file, or where MariaDB finds the connect
// state (MySQL documentation, "COM_BINLOG_DUMP"). The command has 32 bits for
// the offset: beyond that the file is read from its beginning.
func (s *Source) dumpFrom(c *conn, file string, offset uint64) error {
	if offset < firstOffset || offset > 1<<32-1 {
		offset = firstOffset
	}
	flags := replication.BINLOG_DUMP_NEVER_STOP
	if c.flavor == mariadbServer {
		flags |= replication.BINLOG_SEND_ANNOTATE_ROWS_EVENT // every event: offsets are counted from their sizes
	}
	return c.dump(file, uint32(offset), flags, serverID(s.cfg))
}

func (c *conn) dump(file string, offset uint32, flags uint16, id uint32) error {
	data := binary.LittleEndian.AppendUint32(nil, offset)
	data = binary.LittleEndian.AppendUint16(data, flags)
	data = binary.LittleEndian.AppendUint32(data, id)
	return c.command(mysql.COM_BINLOG_DUMP, append(data, file...))
}

// born reads when a file was begun, on a connection of its own. It asks under the
// id 0, as mysqlbinlog does: that disturbs no replica, and does not wait for more.
func (s *Source) born(ctx context.Context, file string) (uint32, error) {
	c, err := s.endpoint.connect(ctx, queryTimeout)
	if err != nil {
		return 0, err
	}
	defer c.close()
	if err := c.exec(ctx, "SET @master_binlog_checksum = @@GLOBAL.binlog_checksum, @source_binlog_checksum = @@GLOBAL.binlog_checksum"); err != nil {
		return 0, fmt.Errorf("set up dump: %w", err)
	}
	if c.flavor == mariadbServer {
		if err := c.exec(ctx, "SET @mariadb_slave_capability = 4"); err != nil {
			return 0, fmt.Errorf("set up dump: %w", err)
		}
	}
	release := c.guard(ctx)
	time, err := c.firstTime(file)
	c.broken = true // more of the file is on its way
	if ended := release(); ended != nil {
		return 0, ended
	}
	return time, err
}

// firstTime asks for a file and reads the time of its first event.
func (c *conn) firstTime(file string) (uint32, error) {
	if err := c.dump(file, firstOffset, 0, 0); err != nil {
		return 0, err
	}
	for {
		packet, err := c.next()
		if err != nil {
			return 0, err
		}
		if packet[0] != answerOK {
			return 0, errors.New("the server has ended the dump")
		}
		h, err := readHeader(packet[1:])
		if err != nil || h.kind == replication.FORMAT_DESCRIPTION_EVENT {
			return h.time, err
		}
	}
}

// dumpAfterGTIDs starts with what is not in the set (MySQL documentation, "COM_BINLOG_DUMP_GTID").
func (s *Source) dumpAfterGTIDs(c *conn, gtids string) error {
	set, err := mysql.ParseMysqlGTIDSet(gtids)
	if err != nil {
		return fmt.Errorf("parse GTID set: %w", err)
	}
	encoded := set.Encode()
	const throughGTID = 4
	data := binary.LittleEndian.AppendUint16(nil, throughGTID)
	data = binary.LittleEndian.AppendUint32(data, serverID(s.cfg))
	data = binary.LittleEndian.AppendUint32(data, 0) // no file's name
	data = binary.LittleEndian.AppendUint64(data, firstOffset)
	data = binary.LittleEndian.AppendUint32(data, uint32(len(encoded)))
	return c.command(mysql.COM_BINLOG_DUMP_GTID, append(data, encoded...))
}

// literal quotes a text that has no character that a server would not take as it is.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
