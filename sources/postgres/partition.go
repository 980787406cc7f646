package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"haystream/sources"
)

// linksQuery tells how each of the given relations became a partition.
//
// CREATE TABLE … PARTITION OF leaves columns in pg_attribute as it made them,
// before it wrote pg_inherits. ALTER TABLE … ATTACH PARTITION writes all of them
// anew, by the same command that writes pg_inherits (PostgreSQL source,
// commands/tablecmds.c, MergeAttributesIntoExisting). A row that a failed
// statement has touched since (xmax) does not tell its command any more.
//
// Before an ATTACH that was the first to write in its transaction, that one has
// put nothing into the partition.
const linksQuery = `
SELECT i.inhrelid, i.inhparent, i.xmin::text, pg_catalog.age(i.xmin),
       EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = i.inhrelid AND a.attnum > 0 AND NOT a.attisdropped
               AND a.xmin = i.xmin AND a.xmax = 0 AND i.xmax = 0 AND a.cmin::text::int8 < i.cmin::text::int8),
       i.xmax = 0 AND i.cmin::text = '0'
FROM pg_catalog.pg_inherits i
WHERE i.inhrelid = ANY ($1)`

// A link is a row of pg_inherits: what made a relation a partition.
type link struct {
	relation, parent uint32
	tx               string
	age              int64 // of tx, in transactions
	created          bool  // as a partition: it was never anything else
	first            bool  // attached, and tx had written nothing to it before
}

// A part is a partition that holds rows, with all that links it to its root.
type part struct {
	relation, root uint32
	id             string // another one once it was detached and attached again
	name           string
	created        bool
	first          bool
	tx             string // the youngest that attached it
	age            int64  // of tx
}

// readParts gives partitioned tables their partitions.
func readParts(ctx context.Context, conn *pgx.Conn, registry *typeRegistry, relations []relation) error {
	var within []uint32
	for _, r := range relations {
		if r.root != r.oid {
			within = append(within, r.oid)
		}
	}
	if len(within) == 0 {
		return nil
	}
	rows, err := conn.Query(ctx, linksQuery, within)
	if err != nil {
		return err
	}
	links := make(map[uint32]link, len(within))
	var l link
	_, err = pgx.ForEachRow(rows, []any{&l.relation, &l.parent, &l.tx, &l.age, &l.created, &l.first}, func() error {
		links[l.relation] = l
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range relations {
		t := registry.tables[r.root]
		if t == nil || r.root == r.oid || r.kind != "r" {
			continue
		}
		p := partOf(r, links)
		if t.Fingerprint.Parts == nil {
			t.Fingerprint.Parts = map[string]string{}
		}
		t.Fingerprint.Parts[p.id] = p.name
		registry.parts = append(registry.parts, p)
	}
	return nil
}

func partOf(r relation, links map[uint32]link) part {
	p := part{relation: r.oid, root: r.root, id: number(r.oid), name: r.schema + "." + r.name, created: true, first: true, age: 1<<31 - 1}
	for at := r.oid; at != r.root; {
		l, known := links[at]
		if !known { // not in this state of the catalog
			p.created, p.first = false, false
			break
		}
		p.id += ":" + l.tx
		if !l.created {
			p.created, p.first = false, p.first && l.first
			if l.age < p.age {
				p.tx, p.age = l.tx, l.age
			}
		}
		at = l.parent
	}
	return p
}

// Limits on what it may take to look into a partition that was attached.
const (
	partLockTimeout      = "1s"
	partStatementTimeout = "5s"
)

// lookIntoParts notes which partitions may have brought rows along, or had rows
// that the stream passed over. One that was seen before keeps what was found
// then: rows that came later came through the log. The first catalog of a process
// looks into those only that were attached since the slot began to hold the log:
// others were partitions before, or nothing is known of them.
func (s *Source) lookIntoParts(ctx context.Context, conn *pgx.Conn, registry *typeRegistry) error {
	first := s.brought == nil
	oldest := int64(-1)
	if first {
		s.brought = map[string]bool{}
		const query = `SELECT COALESCE(max(age(catalog_xmin)), -1)::int8 FROM pg_replication_slots WHERE slot_name = $1`
		if err := conn.QueryRow(ctx, query, s.cfg.Slot).Scan(&oldest); err != nil {
			return fmt.Errorf("read slot: %w", err)
		}
	}
	for _, p := range registry.parts {
		brought, seen := s.brought[p.id]
		if !seen {
			var err error
			switch {
			case s.passed(p.relation):
				brought = true
			case p.created:
			case first && p.age > oldest:
				brought = true
			default:
				brought, err = s.lookInto(ctx, conn, registry.tables[p.root], p)
			}
			if err != nil {
				return err
			}
			s.brought[p.id] = brought
		}
		if brought {
			t := registry.tables[p.root]
			t.Fingerprint.Brought = append(t.Fingerprint.Brought, p.id)
		}
	}
	return nil
}

// lookInto reports whether a partition may have rows from before it was
// attached. It has none where it has no rows at all, or where all have come with
// transactions that began later.
func (s *Source) lookInto(ctx context.Context, conn *pgx.Conn, t *sources.Table, p part) (bool, error) {
	brought := true
	err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '"+partLockTimeout+"'")
		if err == nil {
			_, err = tx.Exec(ctx, "SET LOCAL statement_timeout = '"+partStatementTimeout+"'")
		}
		if err != nil {
			return err
		}
		var empty bool
		var condition string
		const query = `SELECT pg_relation_size($1::oid) = 0, COALESCE(pg_get_partition_constraintdef($1::oid), 'true')`
		if err := tx.QueryRow(ctx, query, p.relation).Scan(&empty, &condition); err != nil {
			return err
		}
		if empty || !p.first {
			brought = !empty
			return nil
		}
		// Through the table, which the role may read, where it may not read the partition.
		return tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+quoteTable(t)+` WHERE tableoid = $1::oid AND (`+condition+`) AND age(xmin) NOT BETWEEN 0 AND age($2::xid))`,
			p.relation, p.tx).Scan(&brought)
	})
	if err != nil && sqlState(err) != "" && !conn.IsClosed() {
		s.log.Debug().Err(err).Str(keyTable, p.name).Msg("cannot look into a partition; its rows are taken for new ones")
		return true, nil
	}
	return brought, err
}

// passOver notes that changes of a relation that the catalog does not have (yet)
// were left out. If it turns out to be a partition, its rows must be read.
func (s *Source) passOver(relation uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passedOver[relation] = true
}

func (s *Source) passed(relation uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.passedOver[relation]
}
