package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"haystream/internal/preflight"
	"haystream/sources"
)

// Check reports on the server, the role and the tables. It creates nothing; it
// only opens connections.
func (s *Source) Check(ctx context.Context, tables []*sources.Table) ([]preflight.Finding, error) {
	var c check
	err := s.use(ctx, func(conn *pgx.Conn) error { return s.check(ctx, conn, &c, tables) })
	if err != nil {
		return nil, fmt.Errorf("check source: %w", err)
	}
	if c.replicates {
		// Whether the server takes it is known only by trying.
		conn, err := s.connectReplication(ctx)
		switch {
		case err == nil:
			closeReplication(conn)
			c.ok("replication connection", "accepted")
		case sqlState(err) == "", strings.HasPrefix(sqlState(err), classIntervention): // it has gone away since the first connection
			return nil, fmt.Errorf("check source: %w", err)
		default:
			c.fail("replication connection", err.Error(), "")
		}
	}
	return c.findings, nil
}

func (s *Source) check(ctx context.Context, conn *pgx.Conn, c *check, tables []*sources.Table) error {
	if err := c.read(ctx, conn); err != nil {
		return err
	}
	if c.version < oldestVersion {
		c.fail("version", "PostgreSQL "+c.versionText+" is too old", "use PostgreSQL 13 or later")
		return nil
	}
	c.server()
	if s.cfg.Messages {
		c.messages()
	}
	c.names(s.cfg)
	if err := s.checkSlot(ctx, conn, c); err != nil {
		return err
	}
	owned := true
	for _, t := range tables {
		own, err := c.table(ctx, conn, t)
		if err != nil {
			return err
		}
		owned = owned && own
	}
	return s.checkPublication(ctx, conn, c, tables, owned)
}

// A check collects findings on what it has read of the server.
type check struct {
	findings []preflight.Finding

	version     int
	versionText string
	raw         bool // texts may be in any encoding
	standby     bool
	walLevel    string
	slots       int
	maxSlots    int
	senders     int
	maxSenders  int
	keepSize    int64 // max_slot_wal_keep_size in MB, -1 unlimited
	timeout     int64 // wal_sender_timeout in ms, 0 none
	role        string
	replicates  bool // the role may
	mayCreate   bool // in the database, as a publication needs
	database    string
	managed     bool // has Amazon RDS's role for replication
}

func (c *check) add(level preflight.Level, subject, text, remedy string) {
	c.findings = append(c.findings, preflight.Finding{Level: level, Subject: subject, Text: text, Remedy: remedy})
}

func (c *check) ok(subject, text string)           { c.add(preflight.OK, subject, text, "") }
func (c *check) warn(subject, text, remedy string) { c.add(preflight.Warning, subject, text, remedy) }
func (c *check) fail(subject, text, remedy string) { c.add(preflight.Error, subject, text, remedy) }

func (c *check) read(ctx context.Context, conn *pgx.Conn) error {
	const query = `
SELECT current_setting('server_version_num')::int, current_setting('server_version'), pg_is_in_recovery(), current_setting('wal_level'),
       (SELECT count(*) FROM pg_replication_slots), current_setting('max_replication_slots')::int,
       (SELECT count(*) FROM pg_stat_replication), current_setting('max_wal_senders')::int,
       COALESCE((SELECT setting::int8 FROM pg_settings WHERE name = 'max_slot_wal_keep_size'), -1),
       (SELECT setting::int8 FROM pg_settings WHERE name = 'wal_sender_timeout'),
       current_user, r.rolreplication OR r.rolsuper
           OR EXISTS (SELECT FROM pg_roles m WHERE m.rolname = 'rds_replication' AND pg_has_role(m.oid, 'MEMBER')),
       EXISTS (SELECT FROM pg_roles m WHERE m.rolname = 'rds_replication'),
       current_database(), has_database_privilege(current_database(), 'CREATE')
FROM pg_roles r WHERE r.rolname = current_user`
	err := conn.QueryRow(ctx, query).Scan(&c.version, &c.versionText, &c.standby, &c.walLevel, &c.slots, &c.maxSlots,
		&c.senders, &c.maxSenders, &c.keepSize, &c.timeout, &c.role, &c.replicates, &c.managed, &c.database, &c.mayCreate)
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	c.raw = conn.PgConn().ParameterStatus("server_encoding") == sqlASCII
	return nil
}

func (c *check) server() {
	c.ok("version", "PostgreSQL "+c.versionText)
	if c.raw {
		c.warn("encoding", "the database is in SQL_ASCII: bytes of texts that are not UTF-8 become U+FFFD, or their documents dead letters, as source.invalid_utf8 says", "")
	}
	if c.standby {
		c.fail("server", "it is a standby", "point source.url to the primary")
	}
	switch {
	case c.walLevel == "logical":
		c.ok("wal_level", "logical")
	case c.managed:
		c.fail("wal_level", "it is "+c.walLevel, "set rds.logical_replication to 1 in the parameter group and restart the server")
	default:
		c.fail("wal_level", "it is "+c.walLevel, walLevelRemedy)
	}
	if c.senders >= c.maxSenders {
		c.fail("max_wal_senders", fmt.Sprintf("all %d are in use", c.maxSenders),
			fmt.Sprintf("ALTER SYSTEM SET max_wal_senders = %d and restart the server", c.maxSenders+2))
	}
	if c.keepSize < 0 {
		c.warn("max_slot_wal_keep_size", "unlimited: while the daemon is down, the log it still needs can fill the server's disk",
			"ALTER SYSTEM SET max_slot_wal_keep_size = '50GB' and SELECT pg_reload_conf(), or set limits.max_retained_log")
	}
	if c.timeout == 0 {
		c.warn("wal_sender_timeout", "off: the server does not notice a daemon that vanished from the network, and a second one cannot take over",
			"ALTER SYSTEM SET wal_sender_timeout = '60s' and SELECT pg_reload_conf()")
	}
	switch {
	case c.replicates:
		c.ok("role "+c.role, "may replicate")
	case c.managed:
		c.fail("role "+c.role, "may not replicate", "GRANT rds_replication TO "+quote(c.role))
	default:
		c.fail("role "+c.role, "may not replicate", "ALTER ROLE "+quote(c.role)+" REPLICATION")
	}
}

// messages says whether events can come by the log.
func (c *check) messages() {
	if c.version < messagesFrom {
		c.warn("events", "PostgreSQL "+c.versionText+" does not stream messages: events come by HTTP only", "use PostgreSQL 14 or later, or a table and mode: append")
		return
	}
	c.ok("events", "messages with the prefix "+sources.MessagePrefix+" are taken from the log")
}

func (c *check) names(cfg sources.Config) {
	if err := checkNames(cfg); err != nil {
		c.fail("source", err.Error(), "choose another name")
	}
}

func (s *Source) checkSlot(ctx context.Context, conn *pgx.Conn, c *check) error {
	subject := "slot " + s.cfg.Slot
	sl, err := readSlot(ctx, conn, s.cfg.Slot)
	switch {
	case err != nil:
		return err
	case sl == nil && c.slots >= c.maxSlots:
		c.fail("max_replication_slots", fmt.Sprintf("all %d are in use", c.maxSlots),
			fmt.Sprintf("ALTER SYSTEM SET max_replication_slots = %d and restart the server", c.maxSlots+2))
	case sl == nil:
		c.ok(subject, "will be created")
	case sl.usable(s.cfg.Slot, c.database) != nil:
		c.fail(subject, sl.usable(s.cfg.Slot, c.database).Error(), "set source.slot to another name")
	case sl.lost() != "":
		c.warn(subject, "it is lost ("+sl.lost()+"): all tables will be read anew", "")
	case sl.Active:
		c.warn(subject, s.busy(ctx, conn, sl.ActivePID).Error(), "")
	default:
		c.ok(subject, "exists")
	}
	return nil
}

// checkPublication says which statement an owner must run, where the role may
// not. owned: the role owns all the tables.
func (s *Source) checkPublication(ctx context.Context, conn *pgx.Conn, c *check, tables []*sources.Table, owned bool) error {
	subject := "publication " + s.cfg.Publication
	p, err := readPublication(ctx, conn, s.cfg.Publication)
	if err != nil {
		return err
	}
	plan := p.plan(s.cfg.Publication, tables)
	may := owned && (p == nil && c.mayCreate || p != nil && p.Owned)
	switch {
	case !plan.needed:
		c.ok(subject, "carries all tables in use")
	case may && p == nil:
		c.ok(subject, "will be created")
	case may:
		c.ok(subject, "will be altered: "+plan.script())
	case p == nil:
		c.fail(subject, "role "+c.role+" may not create it: that takes CREATE on the database and ownership of the tables", "as an owner, "+plan.script())
	case len(plan.joined) < len(tables):
		for _, t := range plan.joined {
			c.fail("table "+t.String(), "the "+subject+" does not carry it as it is, and role "+c.role+" may not alter that", "as the publication's owner, "+plan.script())
		}
	default:
		c.fail(subject, "it does not carry all tables in use as they are, and role "+c.role+" may not alter it", "as its owner, "+plan.script())
	}
	if p != nil && p.AllTables {
		c.warn(subject, "it is FOR ALL TABLES: a table without replica identity cannot be updated, and the log of tables not in use is read in vain", "")
	}
	return nil
}
