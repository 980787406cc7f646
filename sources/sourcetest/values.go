package sourcetest

import (
	"fmt"
	"slices"

	"haystream/sources"
)

// testValues: rows are read by values of a foreign key's columns, of one column or
// two, in the order of their own key, a page at a time.
func testValues(f *fixture) {
	f.create("places", places)
	f.create("people", `id INTEGER NOT NULL PRIMARY KEY, place INTEGER, region VARCHAR(20), body VARCHAR(1000),
		FOREIGN KEY (region, place) REFERENCES places (region, id)`)
	f.exec("CREATE INDEX by_region ON people (region)")
	for i, region := range regions() {
		f.exec(fmt.Sprintf("INSERT INTO places VALUES (%d, NULL, '%s'), (%d, NULL, '%[2]s')", i, region, i+100))
		for n := range 20 {
			f.exec(fmt.Sprintf("INSERT INTO people VALUES (%d, %d, '%s', '%s')", 1000*n+i, i+n%2*100, region, fmt.Sprintf("%0100d", n)))
		}
	}
	f.exec("INSERT INTO people VALUES (-1, 3, NULL, NULL), (-2, NULL, 'b', NULL), (-3, NULL, NULL, NULL)")
	f.prepare("places", "people")
	f.stream(f.start)
	t := f.table("people")
	place, region, body := t.Column("place"), t.Column("region"), t.Column("body")
	many := sources.Key{}
	for i := range 1000 {
		many = append(many, fmt.Sprint(i*7))
	}
	cases := []struct {
		columns []int
		of      []sources.Key
		where   string
	}{
		{t.Key, []sources.Key{{"-1"}, {"2000"}, {"2000"}, {"9"}, {"5"}, {"-7"}}, "id IN (-1, 2000, 9, 5)"},
		{t.Key, each(many...), "id BETWEEN 0 AND 6993 AND id % 7 = 0"},
		{[]int{place}, each("3"), "place = 3"},
		{[]int{place}, each("3", "4", "103", "99"), "place IN (3, 4, 103)"},
		{[]int{region}, each("b", "漢", "", "nowhere", "it's \\ \"quoted\"", "漢🐘"), "region IN ('b', '漢', '')"},
		{[]int{region, place}, []sources.Key{{"b", "3"}}, "region = 'b' AND place = 3"},
		{[]int{place, region}, []sources.Key{{"3", "b"}, {"104", "z"}, {"4", "b"}, {"1", "🐘"}, {"1x", "b"}}, "region = 'b' AND place = 3 OR region = 'z' AND place = 104"},
		{[]int{body}, each(fmt.Sprintf("%0100d", 7)), "id BETWEEN 7000 AND 7999"},
		{[]int{place}, each("nowhere", "3.5", "", "1 OR 1=1", "99999999999999999999", "NaN"), "1 = 0"},
		{t.Key, nil, "1 = 0"},
	}
	for _, c := range cases {
		for _, size := range []int{1, 7, 1000} {
			req := sources.ChunkRequest{Table: t, Having: &sources.Values{Columns: c.columns, Of: c.of}, MaxRows: size, MaxBytes: 1 << 20}
			if size == 1000 {
				req.MaxBytes = 3000
			}
			f.equal(f.pages(req), f.rows("people WHERE "+c.where))
		}
	}
	_, err := f.source.Chunk(f.Context(), sources.ChunkRequest{Table: t, Having: &sources.Values{Columns: t.Key, Of: []sources.Key{{"1", "2"}}}, MaxRows: 1, MaxBytes: 1})
	if err == nil {
		f.Error("a value of two columns was read by one")
	}
	f.ordered(t, slices.Clone(each("3", "103")), place)
}

// each makes values of one column.
func each(texts ...string) (of []sources.Key) {
	for _, text := range texts {
		of = append(of, sources.Key{text})
	}
	return of
}

// ordered: rows of several values come in the order of their key.
func (f *fixture) ordered(t *sources.Table, of []sources.Key, column int) {
	f.Helper()
	chunk, err := f.source.Chunk(f.Context(), sources.ChunkRequest{Table: t, Having: &sources.Values{Columns: []int{column}, Of: of}, MaxRows: 1000, MaxBytes: 1 << 20})
	f.must(err)
	found, err := f.main.Query(f.Context(), "SELECT id FROM people WHERE place IN (3, 103) ORDER BY id")
	f.must(err)
	for i, row := range chunk.Rows {
		if i >= len(found) || string(row.Text(t.Key[0])) != found[i][0] {
			f.Fatalf("row %d is %s", i, image(row))
		}
	}
}
