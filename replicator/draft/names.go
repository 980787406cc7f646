package draft

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"haystream/sinks"
	"haystream/sources"
)

// names are those that are given already.
type names map[string]bool

func newNames(taken []string) names {
	n := names{}
	for _, name := range taken {
		n[name] = true
	}
	return n
}

// take gives a name, with a number where it is given already.
func (n names) take(name string) string {
	free := name
	for i := 2; n[free]; i++ {
		free = name + "_" + strconv.Itoa(i)
	}
	n[free] = true
	return free
}

// longestName bounds aliases, in bytes; numbers may follow.
const longestName = 150

// aliasOf is a name that the sink takes for a table's documents. In it nothing needs quotes or
// stands for anything in a path.
func aliasOf(t *sources.Table, rules sinks.Rules) string {
	name := t.Name
	if !t.Home {
		name = t.Schema + "_" + t.Name
	}
	alias := strings.TrimLeft(strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '-' {
			return unicode.ToLower(r)
		}
		return '_'
	}, name), "_-")
	alias = strings.ToValidUTF8(alias[:min(len(alias), longestName)], "")
	if alias == "" || rules.IndexName != nil && rules.IndexName(alias) != "" {
		return "documents"
	}
	return alias
}

// fieldName is a name that the sink takes for a column: without dots, which would make
// objects, and none of its own.
func fieldName(column string, rules sinks.Rules) string {
	name := strings.ReplaceAll(column, ".", "_")
	if strings.TrimSpace(name) == "" || name == "*" {
		return "column"
	}
	if slices.Contains(rules.Reserved, name) {
		return strings.TrimLeft(name, "_") + "_column"
	}
	return name
}

// identifier is a name that templates and expressions can write.
func identifier(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' {
			return r
		}
		return '_'
	}, name)
	if !isIdentifier(name) {
		return "to_" + name
	}
	return name
}

var identifiers = regexp.MustCompile(`^[\pL_][\pL\pN_]*$`)

func isIdentifier(name string) bool { return identifiers.MatchString(name) }

// tools are tables, as globs of small letters, that frameworks keep for themselves, by what these are.
var tools = []struct {
	of     string
	tables []string
}{
	{"Django", []string{
		"django_migrations", "django_session", "django_content_type", "django_admin_log", "auth_permission",
		"auth_group_permissions", "auth_user_user_permissions", "django_celery_*",
	}},
	{"Rails", []string{"schema_migrations", "ar_internal_metadata"}},
	{"Laravel", []string{"migrations", "failed_jobs", "job_batches", "password_resets", "password_reset_tokens", "personal_access_tokens", "cache_locks"}},
	{"Alembic", []string{"alembic_version*"}},
	{"Flyway", []string{"flyway_schema_history"}},
	{"Liquibase", []string{"databasechangelog", "databasechangeloglock"}},
	{"Prisma", []string{"_prisma_migrations"}},
	{"Knex", []string{"knex_migrations", "knex_migrations_lock"}},
	{"Sequelize", []string{"sequelizemeta"}},
	{"Doctrine", []string{"doctrine_migration_versions"}},
	{"Entity Framework", []string{"__efmigrationshistory"}},
	{"Goose", []string{"goose_db_version"}},
	{"PostGIS", []string{"spatial_ref_sys"}},
}

// bookkeeping says whose a table is that a framework keeps for itself; empty for any other.
func bookkeeping(t *sources.Table) string {
	for _, tool := range tools {
		for _, glob := range tool.tables {
			if ok, _ := path.Match(glob, strings.ToLower(t.Name)); ok {
				return "is what " + tool.of + " keeps for itself"
			}
		}
	}
	return ""
}

var secrets = regexp.MustCompile(`(?i)passw|passphrase|secret|token|credential|api_?key|private_?key|(^|_)(pwd|salt|otp|pin|cvv|ssn)(_|$)`)

// isSecret reports whether a column's name says that its texts are not for everybody.
func isSecret(c *sources.Column) bool {
	switch c.Type.Kind {
	case sources.Text, sources.Keyword, sources.Bytes, sources.JSON:
		return secrets.MatchString(c.Name)
	}
	return false
}

// labels are columns that a row goes by.
var labels = []string{"name", "title", "username", "label", "slug", "email", "subject", "code"}

// labelOf is the column that a table's rows go by best; empty where there is none.
func labelOf(t *sources.Table) string {
	best := ""
	for _, label := range labels {
		if i := t.Column(label); i >= 0 && usable(&t.Columns[i]) {
			best = cmp.Or(best, label)
		}
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		if usable(c) && !slices.Contains(t.Key, i) && (c.Type.Kind == sources.Text || c.Type.Kind == sources.Keyword) {
			best = cmp.Or(best, c.Name)
		}
	}
	for _, i := range t.Key {
		best = cmp.Or(best, t.Columns[i].Name)
	}
	return best
}

func usable(c *sources.Column) bool { return !c.NotLogged && !isSecret(c) }
