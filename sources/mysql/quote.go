package mysql

import (
	"strings"

	"haystream/sources"
)

// quote writes an identifier, whatever is in it.
func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func quoteTable(t *sources.Table) string { return quote(t.Schema) + "." + quote(t.Name) }

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quote(name)
	}
	return strings.Join(quoted, ", ")
}

// quoteUser writes user@host as statements take it. Only the user may have an @.
func quoteUser(account string) string {
	at := strings.LastIndexByte(account, '@')
	if at < 0 {
		return "'" + account + "'" // a role
	}
	return "'" + strings.ReplaceAll(account[:at], "'", "''") + "'@'" + account[at+1:] + "'"
}
