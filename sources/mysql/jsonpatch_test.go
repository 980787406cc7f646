package mysql

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"haystream/internal/servers"
	"haystream/sources"
)

// eachMySQL runs work on each server of the fleet that changes JSON in parts.
func eachMySQL(t *testing.T, work func(*rig)) {
	t.Helper()
	for _, shared := range fleet {
		if shared.Spec.Kind == servers.MySQL {
			t.Run(shared.Spec.String(), func(t *testing.T) { work(newRig(newBox(t, shared.Get(t).URL), rigName(t))) })
		}
	}
}

// Parts of JSON values come whole where the log has the old value, else as patches.
func TestPartialJSON(t *testing.T) {
	eachMySQL(t, func(r *rig) {
		r.exec("CREATE TABLE t (id INT PRIMARY KEY, other JSON, j JSON, third JSON)",
			"INSERT INTO t VALUES (1, '[1, 2, 3, \"long enough to be worth it\"]', '{\"a\": [1, {\"b c\": 2}], \"bb\": null, \"pad\": \"long enough to be worth it\"}', NULL)")
		r.prepare("t")
		tail := r.stream(r.start)
		var patches []string
		tail.each = func(c *sources.Change) {
			for i := range c.After.Len() {
				if patch := c.After.Patch(i); patch != nil {
					patches = append(patches, string(patch))
				}
			}
		}
		writer := r.session()
		r.on(writer, "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'", "UPDATE t SET j = JSON_SET(j, '$.a[1].\"b c\"', 3), third = '{}'")
		const rest, pad = `[1, 2, 3, "long enough to be worth it"]`, `, "pad": "long enough to be worth it"}`
		tail.expect(`update t (1) to (1,` + rest + `,{"a": [1, {"b c": 3}], "bb": null` + pad + `,{})`)
		r.on(writer, "SET SESSION binlog_row_image = MINIMAL", "UPDATE t SET j = JSON_REMOVE(j, '$.bb'), other = JSON_SET(other, '$[0]', CAST('\"x\"' AS JSON), '$[9]', 1.50)",
			"UPDATE t SET j = JSON_SET(j, '$.ab', JSON_ARRAY(), '$.a[0]', 'é')", "UPDATE t SET j = JSON_SET(j, '$.pad', 1)", "UPDATE t SET other = NULL")
		tail.expect("update t (1) to (1,MISSING,MISSING,MISSING)", "update t (1) to (1,MISSING,MISSING,MISSING)", "update t (1) to (1,MISSING,MISSING,MISSING)", "update t (1) to (1,NULL,MISSING,MISSING)")
		r.same(patches, []string{
			`[["replace", [0], "x"],["insert", [9], 1.50]]`, `[["remove", ["bb"]]]`, `[["insert", ["ab"], []],["replace", ["a",0], "é"]]`, `[["replace", ["pad"], 1]]`,
		})
	})
}

// Whatever is done to a document, its text is the server's afterwards.
func TestRandomPatches(t *testing.T) {
	const steps = 1000
	eachMySQL(t, func(r *rig) {
		rnd := rand.New(rand.NewPCG(3, 4))
		r.exec("CREATE TABLE t (id INT PRIMARY KEY, n INT, j JSON)", "INSERT INTO t VALUES (1, 0, '{}'), (2, 0, '{}')")
		r.prepare("t")
		tail := r.stream(r.start)
		want, statements := map[string]string{}, map[string]string{}
		known := map[string]string{"1": "{}", "2": "{}"}
		patched := map[string]int{}
		tail.each = func(c *sources.Change) {
			key := c.After.Key([]int{0, 1})
			id, n := key[0], key[1]
			text := string(c.After.Text(2))
			if patch := c.After.Patch(2); patch != nil {
				for _, verb := range []string{"replace", "insert", "remove"} {
					patched[verb] += strings.Count(string(patch), `["`+verb+`", `)
				}
				made, err := sources.ApplyPatch([]byte("dst"), []byte(known[id]), patch)
				if err != nil {
					r.Fatalf("%s\nof %s\nby %s: %v", statements[n], known[id], patch, err)
				}
				text = string(made[len("dst"):])
			} else if c.After.Missing(2) {
				text = known[id]
			}
			if text != want[n] {
				r.Fatalf("%s\nof %s\nis %s\nwant %s", statements[n], known[id], text, want[n])
			}
			known[id] = text
		}
		writer := r.session()
		r.on(writer, "SET SESSION sql_mode = '', binlog_row_value_options = 'PARTIAL_JSON'")
		document := "JSON_OBJECT('pad', REPEAT('x', 3000), 'a', JSON_OBJECT('a', 1, 'bb', JSON_ARRAY(1, 2, JSON_ARRAY(3))), 'bb', JSON_ARRAY(1, JSON_OBJECT('a', 1), 2.50), '', 1, 'a b', 2)"
		for step := range steps {
			id, change := 1+step%2, "j = "+randomChange(rnd)
			if step%10 < 2 {
				change = "j = " + document
			}
			image := []string{"FULL", "MINIMAL", "NOBLOB"}[step/50%3]
			n := fmt.Sprint(step + 1)
			statements[n] = fmt.Sprintf("UPDATE t SET n = %s, %s WHERE id = %d", n, change, id)
			r.on(writer, "SET SESSION binlog_row_image = "+image, statements[n])
			row, err := writer.one(r.Context(), fmt.Sprintf("SELECT j FROM t WHERE id = %d", id))
			r.must(err)
			want[n] = row[0]
			tail.catchUp()
		}
		if len(tail.changes) != steps || patched["replace"] < 30 || patched["insert"] < 30 || patched["remove"] < 30 {
			r.Errorf("%d changes, patched %v", len(tail.changes), patched)
		}
	})
}

// randomChange is an expression that changes parts of j.
func randomChange(rnd *rand.Rand) string {
	pick := func(all ...string) string { return all[rnd.IntN(len(all))] }
	value := func() string {
		return pick("1", "-9223372036854775808", "18446744073709551615", "CAST('1.5e300' AS DOUBLE)", "1e0", "CAST(12345678901234567890.1234567890 AS DECIMAL(40,10))", "1.50", "TRUE", "NULL", "CAST('null' AS JSON)",
			"'text'", "'q\"uo\\\\te\\n é 🐘'", "CAST('2024-02-29' AS DATE)", "CAST('2024-02-29 01:02:03.000004' AS DATETIME(6))", "CAST('-01:02:03' AS TIME)", "CAST(x'00ff' AS BINARY)", "REPEAT('y', 200)",
			"JSON_ARRAY()", "JSON_OBJECT()", "JSON_ARRAY(1, JSON_ARRAY(), 'x')", "JSON_OBJECT('a', JSON_ARRAY(1, 2), 'bb', 1, 'é', 2)", "j->'$.a'")
	}
	path := func() string {
		p := "$[0]"
		if rnd.IntN(60) > 0 { // else the whole document may go
			p = "$" + pick(".a", ".bb", ".a.bb", ".bb[1]", ".ccc", ".\"a b\"", ".\"\"")
		}
		for range rnd.IntN(3) {
			p += pick(".a", ".bb", ".ccc", ".\"a b\"", ".\"é\"", ".e", ".\"q\\\\\"x\"", ".\"c\\\\\\\\\"", ".\"t\\\\t\\\\u0001\"", ".\"a.b[0]\"", ".\"0\"", ".$x", ".\"漢字\"", ".\"\"", "[0]", "[1]", "[2]", "[7]", "[last]", "[last-1]", "[last-5]")
		}
		return "'" + p + "'"
	}
	change := "j"
	for range 1 + rnd.IntN(3) {
		switch rnd.IntN(6) {
		case 0, 1:
			change = "JSON_REMOVE(" + change + ", " + path() + ")"
		case 2, 3:
			change = "JSON_REPLACE(" + change + ", " + path() + ", " + value() + ", " + path() + ", " + value() + ")"
		default:
			change = "JSON_SET(" + change + ", " + path() + ", " + value() + ", " + path() + ", " + value() + ")"
		}
	}
	if rnd.IntN(20) == 0 {
		return pick("JSON_ARRAY_INSERT(j, '$.bb[0]', 1)", "JSON_INSERT(j, '$.new', 1)", "JSON_ARRAY_APPEND(j, '$.bb', 1)", "JSON_MERGE_PATCH(j, '{\"a\": null}')")
	}
	return change
}
