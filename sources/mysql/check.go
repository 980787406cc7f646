package mysql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"haystream/internal/preflight"
	"haystream/sources"
)

// Check reports on the server, the user and the tables. It only opens connections.
func (s *Source) Check(ctx context.Context, tables []*sources.Table) ([]preflight.Finding, error) {
	c := check{serverID: serverID(s.cfg)}
	err := s.use(ctx, func(conn *conn) error { return s.check(ctx, conn, &c, tables) })
	if err != nil {
		return nil, fmt.Errorf("check source: %w", err)
	}
	return c.findings, nil
}

func (s *Source) check(ctx context.Context, conn *conn, c *check, tables []*sources.Table) error {
	c.flavor, c.version = conn.flavor, conn.version
	subject, text := "version", c.flavor.product()+" "+c.version
	if oldest := c.flavor.oldest(); older(c.version, oldest...) {
		c.fail(subject, text+" is too old", fmt.Sprintf("use %s %d.%d or later", c.flavor.product(), oldest[0], oldest[1]))
		return nil
	}
	c.ok(subject, text)
	if err := c.readServer(ctx, conn); err != nil {
		return err
	}
	c.server()
	if err := c.rights(ctx, conn); err != nil {
		return err
	}
	if err := s.checkReplication(ctx, c); err != nil {
		return err
	}
	if err := c.readTables(ctx, conn); err != nil {
		return err
	}
	return conn.hasty(ctx, func() error {
		for _, t := range tables {
			if err := c.table(ctx, conn, t); err != nil {
				return err
			}
		}
		return nil
	})
}

// A check collects findings on what it has read of the server.
type check struct {
	findings []preflight.Finding

	serverID  uint32 // the daemon's
	flavor    flavor
	version   string
	user      string            // 'user'@'host', as the grant tables have it
	variables map[string]string // global ones
	logged    []string          // the only schemas in the log; none: all
	ignored   []string          // schemas that are not in the log

	catalog       *catalog
	transactional map[string]bool       // engines
	indexes       map[string][][]string // their columns, by table
}

func (c *check) add(level preflight.Level, subject, text, remedy string) {
	c.findings = append(c.findings, preflight.Finding{Level: level, Subject: subject, Text: text, Remedy: remedy})
}

func (c *check) ok(subject, text string)           { c.add(preflight.OK, subject, text, "") }
func (c *check) warn(subject, text, remedy string) { c.add(preflight.Warning, subject, text, remedy) }
func (c *check) fail(subject, text, remedy string) { c.add(preflight.Error, subject, text, remedy) }

// rights reports on what the user may see of the log, and on what is seen so.
func (c *check) rights(ctx context.Context, conn *conn) error {
	user, err := conn.one(ctx, "SELECT CURRENT_USER()")
	if err != nil {
		return fmt.Errorf("read user: %w", err)
	}
	c.user = quoteUser(user[0])
	status, err := conn.one(ctx, c.flavor.logStatus(c.version))
	switch {
	case denied(err):
		c.fail("user "+c.user, "it may not see where the log ends", "GRANT "+c.flavor.seesLog()+" ON *.* TO "+c.user)
		return nil
	case err != nil && !errors.Is(err, errNoRow):
		return fmt.Errorf("read log status: %w", err)
	case err == nil: // file, position, then these
		c.logged, c.ignored = splitList(status[2]), splitList(status[3])
	}
	c.ok("user "+c.user, "may see where the log ends")
	replica, err := c.isReplica(ctx, conn)
	if err != nil {
		return fmt.Errorf("read replica status: %w", err)
	}
	if replica {
		c.replica()
	}
	return nil
}

func splitList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

func denied(err error) bool {
	code := serverCode(err)
	return code == codePrivilegeDenied || code == codeAccessDenied
}

// isReplica reports whether the server itself follows another one.
func (c *check) isReplica(ctx context.Context, conn *conn) (bool, error) {
	if c.flavor == mariadbServer { // whose SHOW ALL SLAVES STATUS would take one more privilege
		row, err := conn.one(ctx, "SHOW GLOBAL STATUS LIKE 'Slaves_running'")
		return err == nil && row[1] != "0", err
	}
	statement := "SHOW REPLICA STATUS"
	if older(c.version, 8, 0, 22) {
		statement = "SHOW SLAVE STATUS"
	}
	_, err := conn.one(ctx, statement)
	if errors.Is(err, errNoRow) {
		return false, nil
	}
	return err == nil, err
}

// checkReplication finds out whether the user may replicate, by registering as
// a replica for a moment, on a connection that then ends.
func (s *Source) checkReplication(ctx context.Context, c *check) error {
	conn, err := s.endpoint.connect(ctx, queryLimit)
	if err != nil {
		return err
	}
	defer conn.close()
	switch err := conn.register(ctx, math.MaxUint32); { // not the id of a daemon that may be running
	case denied(err):
		c.fail("user "+c.user, "it may not replicate", "GRANT REPLICATION SLAVE ON *.* TO "+c.user)
	case err != nil:
		return fmt.Errorf("register as a replica: %w", err)
	default:
		c.ok("user "+c.user, "may replicate")
	}
	return nil
}
