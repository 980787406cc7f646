package mysql

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// shortRetention is how long an outage of the daemon may well be.
const shortRetention = 24 * time.Hour

// readServer asks for all settings at once. Each server lacks some of them.
func (c *check) readServer(ctx context.Context, conn *conn) error {
	const query = `
SHOW GLOBAL VARIABLES WHERE Variable_name IN (
    'log_bin', 'server_id', 'binlog_format', 'binlog_row_image', 'binlog_row_value_options', 'binlog_row_metadata', 'binlog_storage_engine',
    'gtid_mode', 'binlog_expire_logs_seconds', 'binlog_expire_logs_auto_purge', 'max_binlog_total_size', 'binlog_order_commits',
    'log_replica_updates', 'log_slave_updates', 'replica_parallel_workers', 'slave_parallel_workers',
    'replica_preserve_commit_order', 'slave_preserve_commit_order')`
	c.variables = map[string]string{}
	err := conn.query(ctx, query, func(row [][]byte) error {
		c.variables[strings.ToLower(string(row[0]))] = string(row[1])
		return nil
	})
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	return nil
}

// renamed returns the value of a variable that older versions know by another name.
func (c *check) renamed(name, oldName string) string {
	if value, ok := c.variables[name]; ok {
		return value
	}
	return c.variables[oldName]
}

// setting is the remedy that sets a variable.
func (c *check) setting(variable, value string) string {
	remedy := c.flavor.set(variable, value)
	if c.flavor == mariadbServer {
		remedy += ", and write the same in the server's option file"
	}
	return remedy
}

// reconnect ends the remedies that open sessions do not see.
const reconnect = "; then clients must reconnect"

func (c *check) server() {
	c.binaryLog()
	c.images()
	c.gtids()
	c.retention()
	if c.variables["binlog_order_commits"] == "OFF" {
		c.warn("binlog_order_commits", "it is OFF: a chunk of a snapshot can wait long for the commits that it must have seen", c.setting("binlog_order_commits", "ON"))
	}
}

// binaryLog reports on whether there is one with rows in it.
func (c *check) binaryLog() {
	switch {
	case c.variables["log_bin"] != "ON":
		c.fail("log_bin", "the server writes no binary log", "write log_bin=binlog in the server's option file and restart it")
	case strings.EqualFold(c.variables["binlog_storage_engine"], "innodb"):
		c.fail("binlog_storage_engine", "a binary log within InnoDB cannot be read", "take binlog_storage_engine out of the server's option file and restart it")
	default:
		c.ok("log_bin", "ON")
	}
	switch id := c.variables["server_id"]; {
	case id == "0":
		c.fail("server_id", "it is 0, and so the server sends its log to nobody", c.setting("server_id", "1"))
	case id == strconv.FormatUint(uint64(c.serverID), 10):
		c.fail("server_id", "it is the daemon's too", "set source.server_id to a number that no server of the topology has")
	}
	switch format, ok := c.variables["binlog_format"]; {
	case ok && format != "ROW":
		c.fail("binlog_format", "it is "+format, c.setting("binlog_format", "ROW")+reconnect)
	default: // one that has no such variable knows rows only
		c.ok("binlog_format", "ROW")
	}
}

// images reports on what the log has of a changed row.
func (c *check) images() {
	switch image := c.variables["binlog_row_image"]; {
	case isFull(image):
		c.ok("binlog_row_image", image)
	case c.flavor.completable():
		c.ok("binlog_row_image", "it is "+image+": values that a change leaves alone are taken from stored rows")
	default:
		c.fail("binlog_row_image", "it is "+image+": MariaDB leaves out values that have changed, too: what a REPLACE sets to its default, and generated columns", c.setting("binlog_row_image", "FULL")+reconnect)
	}
	if options := c.variables["binlog_row_value_options"]; options != "" {
		c.ok("binlog_row_value_options", "it is "+options+": values that are changed in part are made from the old ones")
	}
	if metadata := c.variables["binlog_row_metadata"]; metadata != "FULL" {
		c.warn("binlog_row_metadata", "it is "+metadata+": the log does not name its columns, so that their names are taken from the tables as they are when it is read",
			c.setting("binlog_row_metadata", "FULL"))
	} else {
		c.ok("binlog_row_metadata", metadata)
	}
}

// gtids reports on whether every server of the topology knows a position.
func (c *check) gtids() {
	if c.flavor == mariadbServer {
		return // always
	}
	const remedy = "SET PERSIST enforce_gtid_consistency = ON, then SET PERSIST gtid_mode = OFF_PERMISSIVE, ON_PERMISSIVE and ON, one after the other"
	switch mode := c.variables["gtid_mode"]; mode {
	case "ON":
		c.ok("gtid_mode", mode)
	case "OFF":
		c.warn("gtid_mode", "it is OFF: a failover to another server is not followed, but all tables are read anew; and no mark says exactly what a chunk of a snapshot has seen", remedy)
	default:
		c.warn("gtid_mode", "it is "+mode+": transactions may come without a GTID, so that it is worth no more than OFF: a failover to another server is not followed, and a snapshot has no exact mark", remedy)
	}
}

// retention reports on how long the server keeps its log.
func (c *check) retention() {
	const subject, week = "binlog_expire_logs_seconds", "604800"
	seconds, _ := strconv.ParseInt(c.variables[subject], 10, 64)
	kept := time.Duration(seconds) * time.Second
	total := c.variables["max_binlog_total_size"]
	switch {
	case c.variables["binlog_expire_logs_auto_purge"] == "OFF":
		c.warn("binlog_expire_logs_auto_purge", "it is OFF: the log grows until the server's disk is full", c.setting("binlog_expire_logs_auto_purge", "ON"))
	case seconds == 0 && (total == "" || total == "0"):
		c.warn(subject, "it is 0: the log grows until the server's disk is full", c.setting(subject, week))
	case seconds == 0:
		c.ok(subject, "the log is kept up to max_binlog_total_size")
	case kept < shortRetention:
		c.warn(subject, "the log is kept for "+kept.String()+": after a longer outage of the daemon all tables are read anew", c.setting(subject, week))
	default:
		c.ok(subject, "the log is kept for "+kept.String())
	}
}

// replica reports on a server that follows another one.
func (c *check) replica() {
	if c.renamed("log_replica_updates", "log_slave_updates") != "ON" {
		name := "log_replica_updates"
		if c.flavor == mariadbServer || older(c.version, 8, 0, 26) {
			name = "log_slave_updates"
		}
		c.fail(name, "the server is a replica, and what it replicates is not in its own log", "write "+name+"=ON in the server's option file and restart it")
	}
	workers, _ := strconv.Atoi(c.renamed("replica_parallel_workers", "slave_parallel_workers"))
	if workers > 1 && c.renamed("replica_preserve_commit_order", "slave_preserve_commit_order") == "OFF" {
		c.warn("replica_preserve_commit_order", "the server is a replica that commits in another order than its source: after a failover changes can come in another order",
			"STOP REPLICA SQL_THREAD; SET PERSIST replica_preserve_commit_order = ON; START REPLICA SQL_THREAD")
	}
}
