package endtoend

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"haystream/internal/seeds"
	"haystream/internal/servers"
)

// TestPartialImages: where the log has only what changed of a row, or of a JSON
// value, the rest comes from stored rows.
func TestPartialImages(t *testing.T) {
	server := servers.Test(t, servers.Spec{Kind: servers.MySQL, Version: "8.0", Args: []string{"--binlog-row-image=MINIMAL", "--binlog-row-value-options=PARTIAL_JSON"}})
	for name, scenario := range map[string]func(*testing.T, *world){"rows": partialRows, "relations": relations, "cascades": cascades} {
		t.Run(name, func(t *testing.T) { scenario(t, worldOn(t, server, search.Get(t))) })
	}
}

func partialRows(t *testing.T, w *world) {
	seed := seeds.One(t)
	w.exec("CREATE TABLE doc (id int PRIMARY KEY, title varchar(50), count int NOT NULL DEFAULT 7, body text, data json)")
	random, pauses := rand.New(rand.NewPCG(seed, 0)), rand.New(rand.NewPCG(seed, 1))
	conn, err := w.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	step := func(ctx context.Context) { transact(ctx, conn, random, func() []string { return randomPart(random) }) }
	for range 600 {
		step(t.Context())
	}
	w.chunk = 7
	w.config("\n  NAME:\n    table: doc\n    fields: {title: {}, count: {}, body: {}, data: {mapping: {type: object, enabled: false}}}\n")
	w.underWrites(pauses, step)
	w.compare("SELECT CAST(id AS char), JSON_OBJECT('title', title, 'count', count, 'body', body, 'data', JSON_EXTRACT(data, '$')) FROM doc")
}

func randomPart(random *rand.Rand) []string {
	const rows = 200
	id, n := 1+random.IntN(rows), random.IntN(1000)
	set := func(what string, args ...any) []string {
		return []string{fmt.Sprintf("UPDATE doc SET "+what+" WHERE id = %d", append(args, id)...)}
	}
	switch random.IntN(12) {
	case 0, 1:
		return []string{fmt.Sprintf(`INSERT INTO doc (id, title, body, data) VALUES (%d, 'title', REPEAT('long ', 200), '{"a": 1, "list": [1, {"b": 12345678901234567890}], "long": "%0300d"}')`, id, n)}
	case 2:
		return []string{fmt.Sprintf("INSERT INTO doc (id) VALUES (%d)", id)}
	case 3:
		return []string{fmt.Sprintf("DELETE FROM doc WHERE id = %d", id)}
	case 4:
		return set("id = %d", 1+random.IntN(rows))
	case 5:
		return set("title = 'title %d'", n)
	case 6:
		return set("count = count + 1, body = IF(%d > 800, NULL, body)", n)
	case 7:
		return set("body = REPEAT('other ', %d)", n)
	case 8:
		return set("data = JSON_SET(data, '$.a', %d)", n)
	case 9:
		return set("data = JSON_REPLACE(data, '$.list[1].b', '%d')", n)
	case 10:
		return set("data = JSON_REMOVE(data, '$.list[0]')")
	}
	return set("data = JSON_SET(data, '$.\"key %d\"', JSON_ARRAY(%d, 1.5))", n%7, n)
}
