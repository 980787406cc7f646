package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"haystream/sources"
)

// publicationLockTimeout bounds the wait for a table that a vacuum or a DDL
// statement has locked. Writers are not in the way, nor held up.
const publicationLockTimeout = "30s"

// A publication is what the catalog has under the name.
type publication struct {
	Sign       string            `json:"sign"`  // another one after any change but of its tables
	Owned      bool              `json:"owned"` // the role may alter it
	AllTables  bool              `json:"all_tables"`
	Operations bool              `json:"operations"` // insert, update, delete and truncate
	ViaRoot    bool              `json:"via_root"`
	Tables     []publishedTable  `json:"tables"`
	Schemas    []publishedSchema `json:"schemas"` // from 15
}

// A publishedTable is a table or partition that the publication names.
type publishedTable struct {
	Sign     string `json:"sign"` // another one where it was left out meanwhile, or narrowed
	Schema   string `json:"schema"`
	Name     string `json:"name"`
	Root     string `json:"root"`     // schema.name of the table whose rows it has
	Narrowed bool   `json:"narrowed"` // by a column list or a row filter, from 15; or it is an exception
}

// A publishedSchema is one all of whose tables are published.
type publishedSchema struct {
	Sign   string            `json:"sign"`
	Name   string            `json:"name"`
	Tables map[string]string `json:"tables"` // a sign of each, another one where it was in another schema meanwhile
}

// publicationQuery reads columns that depend on the server's version by way of JSON.
const publicationQuery = `
SELECT jsonb_build_object(
    'sign', p.oid || '.' || p.xmin,
    'owned', pg_has_role(p.pubowner, 'USAGE'),
    'all_tables', p.puballtables,
    'operations', p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate,
    'via_root', p.pubviaroot,
    'tables', COALESCE((SELECT jsonb_agg(jsonb_build_object('sign', r.oid || '.' || r.xmin, 'schema', n.nspname, 'name', c.relname,
            'root', rn.nspname || '.' || root.relname,
            'narrowed', COALESCE(to_jsonb(r)->>'prqual', to_jsonb(r)->>'prattrs') IS NOT NULL OR COALESCE(to_jsonb(r)->>'prexcept', 'false') <> 'false'))
        FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_class root ON root.oid = COALESCE(pg_partition_root(c.oid), c.oid) JOIN pg_namespace rn ON rn.oid = root.relnamespace
        WHERE r.prpubid = p.oid), '[]')`

// schemasFrom is the first version that publishes all tables of a schema.
const (
	schemasFrom       = 150000
	publicationSchema = `,
    'schemas', COALESCE((SELECT jsonb_agg(jsonb_build_object('sign', s.oid || '.' || s.xmin, 'name', n.nspname,
            'tables', (SELECT jsonb_object_agg(c.relname, d.xmin::text) FROM pg_class c
                JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 AND d.refclassid = 'pg_namespace'::regclass
                WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p'))))
        FROM pg_publication_namespace s JOIN pg_namespace n ON n.oid = s.pnnspid WHERE s.pnpubid = p.oid), '[]')`
)

// readPublication returns nil where there is none of that name.
func readPublication(ctx context.Context, conn *pgx.Conn, name string) (*publication, error) {
	query := publicationQuery
	if serverVersion(conn) >= schemasFrom {
		query += publicationSchema
	}
	var text []byte
	err := conn.QueryRow(ctx, query+`)::text FROM pg_publication p WHERE p.pubname = $1`, name).Scan(&text)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read publication: %w", err)
	}
	var found publication
	if err := json.Unmarshal(text, &found); err != nil {
		return nil, fmt.Errorf("read publication: %w", err)
	}
	return &found, nil
}

// signs are those of the ways in which the publication carries all changes of a
// table, of which any one is enough. None: it does not carry all.
func (p *publication) signs(t *sources.Table) []string {
	if p == nil || !p.Operations || p.ViaRoot {
		return nil
	}
	var signs []string
	for i := range p.Tables {
		switch published := &p.Tables[i]; {
		case published.Root == t.String() && published.Narrowed:
			return nil // if only of a partition
		case published.Schema == t.Schema && published.Name == t.Name:
			signs = append(signs, p.Sign+" "+published.Sign)
		}
	}
	for i := range p.Schemas {
		if s := &p.Schemas[i]; s.Name == t.Schema {
			signs = append(signs, p.Sign+" "+s.Sign+" "+s.Tables[t.Name])
		}
	}
	if p.AllTables {
		signs = append(signs, p.Sign+" all")
	}
	return signs
}

// A gap is what is known of when a publication did not carry all of a table.
type gap struct {
	signs []string // when it did last
	open  bool     // since then it did not
	times int      // that it did not, and later had the same signs again
}

// noteGaps makes the signs of a table differ from earlier ones where it was seen
// unpublished in between, and the catalog has forgotten: a partition that was
// named with a row filter for a while leaves no trace.
func (s *Source) noteGaps(now *catalog) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.published {
		t := now.tables[name]
		if t == nil {
			continue
		}
		signs, g := t.Fingerprint.Table[factPublished], s.gaps[name]
		switch {
		case len(signs) == 0:
			g.open = true
		case g.open && slices.ContainsFunc(signs, func(sign string) bool { return slices.Contains(g.signs, sign) }):
			g.open, g.times, g.signs = false, g.times+1, signs
		default:
			g.open, g.signs = false, signs
		}
		s.gaps[name] = g
		if len(signs) > 0 && g.times > 0 {
			marked := make([]string, len(signs))
			for i, sign := range signs {
				marked[i] = fmt.Sprintf("%s, %d gaps", sign, g.times)
			}
			t.Fingerprint.Table[factPublished] = marked
		}
	}
}

// A publicationPlan is what makes a publication carry exactly the tables in use.
type publicationPlan struct {
	statements []string
	needed     bool             // without the statements changes would be lost
	joined     []*sources.Table // whose changes the log did not carry whole so far
}

func (p *publicationPlan) script() string { return strings.Join(p.statements, "; ") }

// plan compares the publication with the tables in use; nil stands for none.
func (p *publication) plan(name string, tables []*sources.Table) publicationPlan {
	if p == nil {
		return publicationPlan{statements: []string{createPublication(name, tables)}, needed: true, joined: tables}
	}
	var plan publicationPlan
	if !p.Operations || p.ViaRoot {
		plan.joined = tables
		plan.statements = append(plan.statements, "ALTER PUBLICATION "+quote(name)+
			" SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = false)")
	}
	if !p.AllTables {
		lacking := slices.DeleteFunc(slices.Clone(tables), p.carries)
		if plan.joined == nil {
			plan.joined = lacking
		}
		switch {
		case len(p.Schemas) > 0 && !slices.ContainsFunc(lacking, func(t *sources.Table) bool { return !p.adds(t) }):
			// Its owner has chosen whole schemas: they stay.
			if len(lacking) > 0 {
				plan.statements = append(plan.statements, "ALTER PUBLICATION "+quote(name)+" ADD TABLE "+tableList(lacking))
			}
		case len(tables) == 0 && len(p.Tables) > 0: // the form below takes no empty list
			plan.statements = append(plan.statements, "ALTER PUBLICATION "+quote(name)+" DROP TABLE "+p.tableList())
		case len(lacking) > 0 || len(p.Tables) > len(tables):
			plan.statements = append(plan.statements, "ALTER PUBLICATION "+quote(name)+" SET TABLE "+tableList(tables))
		}
	}
	plan.needed = len(plan.joined) > 0
	return plan
}

// carries reports whether the publication has the table whole, whatever it
// publishes of tables.
func (p *publication) carries(t *sources.Table) bool {
	whole := publication{Operations: true, AllTables: p.AllTables, Tables: p.Tables, Schemas: p.Schemas}
	return len(whole.signs(t)) > 0
}

// adds reports whether a table that is lacking can be added to what is there.
func (p *publication) adds(t *sources.Table) bool {
	return !slices.ContainsFunc(p.Tables, func(published publishedTable) bool { return published.Root == t.String() })
}

func createPublication(name string, tables []*sources.Table) string {
	statement := "CREATE PUBLICATION " + quote(name)
	if len(tables) > 0 { // else only messages are wanted
		statement += " FOR TABLE " + tableList(tables)
	}
	return statement
}

// tableList names all tables that the publication does.
func (p *publication) tableList() string {
	tables := make([]*sources.Table, len(p.Tables))
	for i, t := range p.Tables {
		tables[i] = &sources.Table{Schema: t.Schema, Name: t.Name}
	}
	return tableList(tables)
}

// tableList names each table alone: a child by inheritance is a table of its
// own, and the partitions of a partitioned one come along in any case.
func tableList(tables []*sources.Table) string {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = "ONLY " + quoteTable(t)
	}
	return strings.Join(names, ", ")
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

func quoteTable(t *sources.Table) string { return pgx.Identifier{t.Schema, t.Name}.Sanitize() }

// ensurePublication creates or alters the publication where needed, and reports
// whether it did. Publishing a table without replica identity would
// make its updates fail on the primary: that is refused.
func (s *Source) ensurePublication(ctx context.Context, conn *pgx.Conn, p *publication, tables []*sources.Table) (altered bool, err error) {
	plan := p.plan(s.cfg.Publication, tables)
	if len(plan.statements) == 0 {
		return false, nil
	}
	if p != nil && !p.Owned {
		if !plan.needed {
			return false, nil // it carries more than is in use, which does no harm
		}
		return false, fmt.Errorf("%w: the publication %s belongs to another role; have its owner run: %s", sources.ErrConfig, s.cfg.Publication, plan.script())
	}
	if err := refuseWithoutIdentity(ctx, conn, tables); err != nil {
		return false, err
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '"+publicationLockTimeout+"'"); err != nil {
			return err
		}
		for _, statement := range plan.statements {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
	if sqlState(err) == codeInsufficientPrivilege {
		if !plan.needed {
			return false, nil // the tables belong to another role
		}
		return false, fmt.Errorf("%w: set up publication: %w; have an owner of the database and the tables run: %s", sources.ErrConfig, err, plan.script())
	}
	if err != nil {
		return false, fmt.Errorf("set up publication: %w", err)
	}
	s.log.Info().Str(keyPublication, s.cfg.Publication).Int(keyTables, len(tables)).Msg("set up publication")
	return true, nil
}

func refuseWithoutIdentity(ctx context.Context, conn *pgx.Conn, tables []*sources.Table) error {
	for _, t := range tables {
		relations, err := relationsOf(ctx, conn, t)
		if err != nil {
			return err
		}
		var without []string
		for _, r := range relations {
			if !r.usable {
				without = append(without, r.name)
			}
		}
		if len(without) > 0 {
			return fmt.Errorf("%w: %s has no replica identity, publishing it would make its updates fail; run: %s", sources.ErrConfig, t, identityRemedy(without))
		}
	}
	return nil
}

// A relationIdentity is what the log tells of the old rows of a relation that
// holds rows: an ordinary table or a partition.
type relationIdentity struct {
	name      string // quoted
	partition bool
	usable    bool // its updates and deletes can be described
	unlogged  bool
	foreign   bool // its rows are in another database, or a file
}

// relationsOf reads the replica identities of a table's relations. Each
// partition has its own, whatever the partitioned table says.
func relationsOf(ctx context.Context, conn *pgx.Conn, t *sources.Table) ([]relationIdentity, error) {
	const query = `
SELECT format('%I.%I', n.nspname, c.relname), c.oid <> root.oid, c.relpersistence = 'u', c.relkind = 'f', c.relkind = 'f' OR c.relreplident = 'f' OR EXISTS (
    SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
    AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident))
FROM pg_class root JOIN pg_namespace s ON s.oid = root.relnamespace
JOIN pg_class c ON c.oid = root.oid OR c.oid IN (SELECT relid FROM pg_partition_tree(root.oid))
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE s.nspname = $1 AND root.relname = $2 AND c.relkind IN ('r', 'f') ORDER BY 1`
	rows, err := conn.Query(ctx, query, t.Schema, t.Name)
	if err != nil {
		return nil, fmt.Errorf("read replica identity of %s: %w", t, err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r relationIdentity, err error) {
		return r, row.Scan(&r.name, &r.partition, &r.unlogged, &r.foreign, &r.usable)
	})
	if err != nil {
		return nil, fmt.Errorf("read replica identity of %s: %w", t, err)
	}
	return found, nil
}

func identityRemedy(relations []string) string {
	statements := make([]string, len(relations))
	for i, r := range relations {
		statements[i] = "ALTER TABLE " + r + " REPLICA IDENTITY FULL"
	}
	return strings.Join(statements, "; ")
}
