package endtoend

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"haystream/internal/seeds"
	"haystream/internal/servers"
)

// cascadeTables act on each other along three levels, over tables that no
// definition names, and in a ring.
var cascadeTables = []string{
	`CREATE TABLE owner (id integer PRIMARY KEY, name varchar(50))`,
	`CREATE TABLE team (id integer PRIMARY KEY, owner_id integer, FOREIGN KEY (owner_id) REFERENCES owner (id) ON DELETE CASCADE ON UPDATE CASCADE)`,
	`CREATE TABLE member (id integer PRIMARY KEY, team_id integer, backup_id integer, name varchar(50),
		FOREIGN KEY (team_id) REFERENCES team (id) ON DELETE CASCADE ON UPDATE CASCADE,
		FOREIGN KEY (backup_id) REFERENCES team (id) ON DELETE SET NULL ON UPDATE SET NULL)`,
	`CREATE TABLE category (id integer PRIMARY KEY, parent_id integer, name varchar(50),
		FOREIGN KEY (parent_id) REFERENCES category (id) ON DELETE CASCADE)`,
	`CREATE TABLE item (id integer PRIMARY KEY, member_id integer, category_id integer, name varchar(50),
		FOREIGN KEY (member_id) REFERENCES member (id) ON DELETE CASCADE ON UPDATE CASCADE,
		FOREIGN KEY (category_id) REFERENCES category (id) ON DELETE SET NULL)`,
	`CREATE TABLE person (id integer PRIMARY KEY, address_id integer)`,
	`CREATE TABLE address (id integer PRIMARY KEY, person_id integer, FOREIGN KEY (person_id) REFERENCES person (id) ON DELETE CASCADE)`,
	`ALTER TABLE person ADD FOREIGN KEY (address_id) REFERENCES address (id) ON DELETE CASCADE`,
}

const cascadeConfig = `
  items:
    index: NAME
    table: item
    id: "item-{{ .id }}"
    fields: {name: {}, member: member.name, category: category.name}
  members:
    index: NAME
    table: member
    id: "member-{{ .id }}"
    fields: {name: {}, team_id: {}, backup_id: {}}
  categories:
    index: NAME
    table: category
    id: "category-{{ .id }}"
    fields: {name: {}, parent_id: {}}
  people:
    index: NAME
    table: person
    id: "person-{{ .id }}"
    fields: {address_id: {}}
  addresses:
    index: NAME
    table: address
    id: "address-{{ .id }}"
    fields: {person_id: {}}
`

// cascadeDocuments is what the index must hold, in SQL written by hand.
func cascadeDocuments(kind string) string {
	object, text := jsonWords(kind)
	return fmt.Sprintf(`SELECT CONCAT('item-', i.id), CAST(%[1]s('name', i.name, 'member', m.name, 'category', c.name) AS %[2]s)
		FROM item i LEFT JOIN member m ON m.id = i.member_id LEFT JOIN category c ON c.id = i.category_id
		UNION ALL SELECT CONCAT('member-', id), CAST(%[1]s('name', name, 'team_id', team_id, 'backup_id', backup_id) AS %[2]s) FROM member
		UNION ALL SELECT CONCAT('category-', id), CAST(%[1]s('name', name, 'parent_id', parent_id) AS %[2]s) FROM category
		UNION ALL SELECT CONCAT('person-', id), CAST(%[1]s('address_id', address_id) AS %[2]s) FROM person
		UNION ALL SELECT CONCAT('address-', id), CAST(%[1]s('person_id', person_id) AS %[2]s) FROM address`, object, text)
}

// TestCascades lets foreign keys act at random while the tables are read and
// after, kills the daemon on the way, and compares every document with a query
// written by hand.
func TestCascades(t *testing.T) { eachDatabase(t, cascades) }

func cascades(t *testing.T, w *world) {
	seed := seeds.One(t)
	w.exec(cascadeTables...)
	random, pauses := rand.New(rand.NewPCG(seed, 0)), rand.New(rand.NewPCG(seed, 1))
	conn, err := w.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	step := func(ctx context.Context) {
		transact(ctx, conn, random, func() []string { return randomCascade(random, w.server.Kind) })
	}
	for range 2000 {
		step(t.Context())
	}
	w.chunk = 7
	w.config(cascadeConfig)
	w.underWrites(pauses, step)
	w.compare(cascadeDocuments(w.server.Kind))
}

func randomCascade(random *rand.Rand, kind string) []string {
	const owners, teams, members, categories, items, people = 8, 20, 60, 40, 150, 30
	id := func(most int) int { return 1 + random.IntN(most) }
	or := func(most int) string { // a key, or NULL
		if random.IntN(8) == 0 {
			return "NULL"
		}
		return strconv.Itoa(id(most))
	}
	insert := func(table string, id int, values string, args ...any) []string {
		return []string{fmt.Sprintf("INSERT INTO "+table+" VALUES (%d, "+values+")", append([]any{id}, args...)...)}
	}
	rekey := func(table string, most int) []string {
		return []string{fmt.Sprintf("UPDATE %s SET id = %d WHERE id = %d", table, id(most), id(most))}
	}
	remove := func(table string, most int) []string {
		return []string{fmt.Sprintf("DELETE FROM %s WHERE id = %d", table, id(most))}
	}
	switch n := random.IntN(50); {
	case n < 3:
		return insert("owner", id(owners), "'owner'")
	case n < 7:
		return insert("team", id(teams), "%s", or(owners))
	case n < 14:
		return insert("member", id(members), "%s, %s, 'member %d'", or(teams), or(teams), random.IntN(9))
	case n < 20:
		return insert("category", id(categories), "%s, 'category %d'", or(categories), random.IntN(9))
	case n < 28:
		return insert("item", id(items), "%s, %s, 'item %d'", or(members), or(categories), random.IntN(9))
	case n < 29:
		return []string{fmt.Sprintf("UPDATE member SET team_id = %s, name = 'moved' WHERE id = %d", or(teams), id(members))}
	case n < 30:
		return []string{fmt.Sprintf("UPDATE item SET member_id = %s WHERE id = %d", or(members), id(items))}
	case n < 31:
		return []string{fmt.Sprintf("UPDATE category SET parent_id = %s WHERE id = %d", or(categories), id(categories))}
	case n < 32:
		return rekey("owner", owners)
	case n < 33:
		return rekey("team", teams)
	case n < 34:
		return rekey("member", members)
	case n < 35:
		return remove("owner", owners)
	case n < 36:
		return remove("team", teams)
	case n < 37:
		return remove("member", members)
	case n < 38:
		return remove("category", categories)
	case n < 44:
		return insert([]string{"person", "address"}[random.IntN(2)], id(people), "%s", or(people))
	case n < 46:
		return []string{fmt.Sprintf("UPDATE person SET address_id = %s WHERE id = %d", or(people), id(people))}
	case n < 47:
		return remove([]string{"person", "address"}[random.IntN(2)], people)
	case kind == servers.Postgres:
		return remove("item", items)
	case n < 48:
		return []string{fmt.Sprintf("REPLACE INTO team VALUES (%d, %s)", id(teams), or(owners))}
	}
	return []string{"SET foreign_key_checks = 0", remove([]string{"team", "member"}[random.IntN(2)], teams)[0], "SET foreign_key_checks = 1"}
}
