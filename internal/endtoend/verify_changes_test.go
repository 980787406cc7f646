package endtoend

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"haystream/internal/servers"
)

// TestVerifyIndexEntries: a row that was changed without a word in the log, and then with one, is stored as the source has it, while
// the store's index leads to it by what it was. That is found, and mended, and then what was rendered by it.
func TestVerifyIndexEntries(t *testing.T) {
	for _, server := range append(mysqls, marias...) {
		t.Run(server.Spec.Kind+server.Spec.Version, func(t *testing.T) {
			w := worldOn(t, server.Get(t), search.Get(t))
			w.exec("CREATE TABLE owner (id int PRIMARY KEY, name varchar(20))", "INSERT INTO owner VALUES (1, 'a'), (2, 'b'), (3, 'c')",
				"CREATE TABLE item (id int PRIMARY KEY, owner_id int, counter int NOT NULL)", "INSERT INTO item VALUES (1, 1, 1), (2, 1, 2), (3, 2, 3)")
			w.config(`
  NAME:
    table: owner
    fields: {name: {}, counters: items.counter}
    settings: {number_of_replicas: 0}
tables:
  owner:
    relations:
      items: {table: item, column: owner_id, many: true, order_by: [id]}
`)
			w.start()
			w.settle()
			w.exec("SET sql_log_bin = 0", "UPDATE item SET owner_id = 2 WHERE id = 1", "SET sql_log_bin = 1",
				"UPDATE item SET owner_id = 3 WHERE id = 1", "UPDATE owner SET name = 'A' WHERE id = 1")
			w.settle()
			reports, ok := w.verify()
			f := reports[w.name]
			if want := []string{"stored different 1 _index(owner_id)"}; ok || !slices.Equal(f.differences(), want) {
				t.Errorf("verify finds %q, want %q", f.differences(), want)
			}
			reports, _ = w.verify("--repair")
			f = reports[w.name]
			if want := []string{"different 1 counters", "stored different 1 _index(owner_id)"}; !slices.Equal(f.differences(), want) || f.Documents.Repaired != 1 {
				t.Errorf("verify --repair finds %q, want %q: %+v", f.differences(), want, f)
			}
			w.compareWith(w.name, map[string]string{"1": `{"name":"A","counters":[2]}`, "2": `{"name":"b","counters":[3]}`, "3": `{"name":"c","counters":[1]}`})
			if reports, ok := w.verify(); !ok {
				t.Errorf("after repair: %+v", reports)
			}
		})
	}
}

// TestVerifyUnderSchemaChanges compares indexes again and again while their tables are altered, swapped and emptied, under
// writes: nothing is found, and each comparison comes to its end.
func TestVerifyUnderSchemaChanges(t *testing.T) { eachDatabase(t, verifyUnderSchemaChanges) }

func verifyUnderSchemaChanges(t *testing.T, w *world) {
	const rows = 1500
	w.items(rows)
	w.config(ownedItems)
	w.start()
	w.settle()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	all.Go(func() { // which the table may have no column for just now
		pace := time.NewTicker(20 * time.Millisecond)
		defer pace.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			<-pace.C
			_, _ = w.db.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf("UPDATE item SET counter = counter + 1 WHERE id = %d", 1+n*7%rows))
			if n%20 == 0 {
				_, _ = w.db.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf("UPDATE owner SET name = 'n%d' WHERE id = %d", n%90, 1+n%7))
			}
		}
	})
	var compared atomic.Int64
	all.Go(func() {
		for ctx.Err() == nil {
			reports, ok := w.verify()
			for index, f := range reports {
				if f.State != "done" || len(f.List) > 0 {
					f.List = f.List[:min(len(f.List), 3)]
					t.Errorf("index %s: %+v", index, f)
				}
			}
			if !ok || len(reports) != 2 {
				t.Errorf("%d reports, content: %v", len(reports), ok)
			}
			compared.Add(1)
		}
	})
	steps := [][]string{
		{"ALTER TABLE item ADD COLUMN more int NOT NULL DEFAULT 7"},
		{"ALTER TABLE item ALTER COLUMN counter TYPE bigint USING counter + 1000000"},
		{"BEGIN", "ALTER TABLE item DROP COLUMN more", "ALTER TABLE item ADD COLUMN more int NOT NULL DEFAULT 8", "COMMIT"},
		{
			"CREATE TABLE item_new (id int PRIMARY KEY, owner_id int, counter bigint NOT NULL, more int)",
			"INSERT INTO item_new SELECT id, owner_id, counter + 5, more FROM item",
			"BEGIN", "ALTER TABLE item RENAME TO item_old", "ALTER TABLE item_new RENAME TO item", "COMMIT",
		},
		{"ALTER TABLE owner ALTER COLUMN name TYPE varchar(40) USING name || 'x'"},
		{"BEGIN", "ALTER TABLE item RENAME COLUMN more TO most", "ALTER TABLE item RENAME COLUMN owner_id TO more", "ALTER TABLE item RENAME COLUMN most TO owner_id", "COMMIT"},
		{"TRUNCATE TABLE item", "INSERT INTO item (id, owner_id, counter, more) SELECT id, owner_id, counter, more FROM item_old"},
	}
	if w.server.Kind != servers.Postgres {
		steps = [][]string{
			{"ALTER TABLE item ADD COLUMN more int NOT NULL DEFAULT 7"},
			{"ALTER TABLE item MODIFY COLUMN counter varchar(20)"},
			{"ALTER TABLE item DROP COLUMN more, ADD COLUMN another int NOT NULL DEFAULT 8"},
			{
				"CREATE TABLE item_new (id int PRIMARY KEY, owner_id int, counter bigint NOT NULL, another int)",
				"INSERT INTO item_new SELECT id, owner_id, counter + 5, another FROM item", "RENAME TABLE item TO item_old, item_new TO item",
			},
			{"ALTER TABLE owner MODIFY COLUMN name char(40)"},
			{"ALTER TABLE item CHANGE COLUMN owner_id another int, CHANGE COLUMN another owner_id int"},
			{"TRUNCATE TABLE item", "INSERT INTO item (id, owner_id, counter, another) SELECT id, owner_id, counter, another FROM item_old"},
		}
	}
	for _, step := range steps {
		at := compared.Load()
		w.exec(step...)
		w.settle()
		w.eventually("it was compared since", func() bool { return compared.Load() > at+1 })
		if t.Failed() {
			t.Fatalf("after %q", step)
		}
	}
}

// TestVerifyKeysOfOtherLetters compares large rows whose keys change to ones that the database holds equal, with another text: a row
// that is asked for by the one and found with the other was found.
func TestVerifyKeysOfOtherLetters(t *testing.T) {
	w := worldOn(t, mysqls[len(mysqls)-1].Get(t), search.Get(t))
	const rows = 4
	w.exec("CREATE TABLE doc (id varchar(20) PRIMARY KEY, body longtext) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
	for n := range rows {
		w.exec(fmt.Sprintf("INSERT INTO doc VALUES ('a%d', REPEAT('x', 1200000))", n))
	}
	w.config("\n  NAME: {table: doc, fields: {body: {}}}\n")
	w.start()
	w.settle()
	url := fmt.Sprintf("/indexes/%s/verify", w.name)
	for round := range 4 {
		if code, answer := w.post(url); code != http.StatusAccepted {
			t.Fatalf("verify is answered %d %s", code, answer)
		}
		for n := range 20 * rows { // while it looks at rows again and again
			w.exec(fmt.Sprintf("UPDATE doc SET id = '%c%d' WHERE id = 'a%[2]d'", "Aa"[(n/rows+round)%2], n%rows))
		}
		w.within(time.Minute, "it is over", func() bool {
			var f found
			_, body := w.get(fmt.Sprintf("http://127.0.0.1:%d%s", w.port, url))
			return json.Unmarshal(body, &f) == nil && f.State == "done" && len(f.List) == 0
		})
	}
}
