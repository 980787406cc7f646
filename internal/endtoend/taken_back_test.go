package endtoend

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haystream/internal/servers"
)

// TestDefinitionsTakenBack changes the definitions, kills the daemon while it makes the first index of the new ones,
// and changes them back. What the old indexes have missed meanwhile is found: other tables were published, or the
// row store was begun anew.
func TestDefinitionsTakenBack(t *testing.T) {
	for name, others := range map[string]string{
		"other tables": `
  fruits: {index: NAME-fruits, table: fruit, fields: {name: {}}}
`,
		"a row store begun anew": `
  another: {index: NAME-another, table: book, fields: {title: {}, names: tags.name}}
tables:
  book: {relations: {tags: {table: tag, column: book_id, many: true, order_by: [id]}}}
`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, server := range []*servers.Shared{&postgres, mysqls[0]} {
				t.Run(server.Spec.Kind, func(t *testing.T) {
					w := worldOn(t, server.Get(t), search.Get(t))
					w.exec(meaningTables...)
					w.exec("CREATE TABLE fruit (id int PRIMARY KEY, name varchar(50))")
					w.config(meaningConfig)
					w.start()
					w.settle()
					w.stop()
					if strings.Contains(others, "another") {
						if err := os.RemoveAll(filepath.Join(w.dir, "state", w.name, "rows")); err != nil {
							t.Fatal(err)
						}
					}
					w.config(others)
					w.dieAt("index created")
					w.exec("DELETE FROM tag WHERE id = 1", "DELETE FROM book WHERE id = 3", "UPDATE book SET title = 'other' WHERE id = 2", "INSERT INTO tag VALUES (4, 2, 'grey', 'grau', 4)")
					w.config(meaningConfig)
					w.start()
					w.settle()
					w.meaningHolds()
				})
			}
		})
	}
}
