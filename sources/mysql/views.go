package mysql

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"haystream/sources"
)

// viewsQuery lists views with their text, which is empty where the user lacks
// SHOW VIEW, and MariaDB's sequences.
const viewsQuery = `
SELECT TABLE_SCHEMA, TABLE_NAME, CASE TABLE_TYPE WHEN 'SEQUENCE' THEN 'sequence' ELSE 'view' END, COALESCE((
    SELECT v.VIEW_DEFINITION FROM information_schema.VIEWS v WHERE v.TABLE_SCHEMA = t.TABLE_SCHEMA AND v.TABLE_NAME = t.TABLE_NAME), '')
FROM information_schema.TABLES t
WHERE ` + userSchemas + ` AND TABLE_TYPE IN ('VIEW', 'SEQUENCE')
ORDER BY TABLE_SCHEMA, TABLE_NAME`

// qualified finds each name that stands behind another one in a view's text, where
// the servers quote all names.
var qualified = regexp.MustCompile("`((?:[^`]|``)+)`\\.`((?:[^`]|``)+)`")

// Views reads what has a table's name and cannot be tailed.
func (s *Source) Views(ctx context.Context) ([]sources.View, error) {
	var views []sources.View
	texts := map[string]string{}
	err := s.use(ctx, func(c *conn) error {
		return c.query(ctx, viewsQuery, func(row [][]byte) error {
			v := sources.View{Schema: string(row[0]), Name: string(row[1]), Kind: sources.ViewKind(row[2])}
			v.Home = strings.EqualFold(v.Schema, s.endpoint.database)
			views = append(views, v)
			texts[v.Schema+"."+v.Name] = string(row[3])
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read views: %w", err)
	}
	s.mu.Lock()
	known := s.catalog
	s.mu.Unlock()
	for i := range views {
		views[i].Tables = tablesOf(views[i].Schema+"."+views[i].Name, texts, known, map[string]bool{})
	}
	return views, nil
}

// tablesOf names the tables of the catalog that a view's text has, and those of
// the views in it. Of the names in it that are qualified most are columns.
func tablesOf(view string, texts map[string]string, known *catalog, seen map[string]bool) []string {
	seen[view] = true
	var found []string
	for _, m := range qualified.FindAllStringSubmatch(texts[view], -1) {
		schema, name := strings.ReplaceAll(m[1], "``", "`"), strings.ReplaceAll(m[2], "``", "`")
		inner := schema + "." + name
		if _, isView := texts[inner]; isView && !seen[inner] {
			found = append(found, tablesOf(inner, texts, known, seen)...)
		}
		if known != nil && known.table(schema, name) != nil {
			found = append(found, inner)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
