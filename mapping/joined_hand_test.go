package mapping

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"haystream/mapping/value"
)

// Joining by hand, as a database would.

func null1(row map[string]string, column string) any {
	if v, ok := row[column]; ok && row != nil {
		return v
	}
	return nil
}

func (r *joinedRig) get(table string, row map[string]string, column string) map[string]string {
	if v, ok := row[column]; ok {
		return r.tables[table][v]
	}
	return nil
}

// where returns rows with a value in a column, in order of their ids.
func (r *joinedRig) where(table, column, value string) []map[string]string {
	var found []map[string]string
	for _, row := range r.tables[table] {
		if v, ok := row[column]; ok && strings.TrimSuffix(v, ".00") == value {
			found = append(found, row)
		}
	}
	slices.SortFunc(found, func(a, b map[string]string) int { return number1(a["id"]) - number1(b["id"]) })
	return found
}

func number1(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// byText sorts rows by a column, NULL last.
func byText(rows []map[string]string, column string, way int, compare func(a, b string) int) []map[string]string {
	slices.SortStableFunc(rows, func(a, b map[string]string) int {
		x, okX := a[column]
		y, okY := b[column]
		switch {
		case okX && okY:
			return way * compare(x, y)
		case okX:
			return -1
		case okY:
			return 1
		}
		return 0
	})
	return rows
}

func texts(rows []map[string]string, column string) []string {
	found := []string{}
	for _, row := range rows {
		if v, ok := row[column]; ok {
			found = append(found, v)
		}
	}
	return found
}

func (r *joinedRig) full(person map[string]string) string {
	if org := r.get("org", person, "org_id"); org != nil {
		return person["name"] + " (" + org["name"] + ")"
	}
	return person["name"]
}

func (r *joinedRig) notes() map[string]string {
	documents := map[string]string{}
	for _, note := range r.tables["note"] {
		author, editor := r.get("person", note, "author_id"), r.get("person", note, "editor_id")
		if pub, ok := note["pub"]; note["published"] != "true" || author["name"] == "hidden" || author == nil || author["name"] == "" {
			continue // != is false for NULL
		} else if ok && parseMoment(pub) > r.scratch.Now-10_000_000 {
			continue
		}
		d := map[string]any{"title": null1(note, "title"), "author": null1(author, "name"), "org": "none", "editor": nil, "who": r.full(author)}
		if name := null1(r.get("org", author, "org_id"), "name"); name != nil {
			d["org"] = name
		}
		if editor != nil {
			d["editor"] = map[string]any{"name": null1(editor, "name"), "loud": strings.ToUpper(r.full(editor))}
		}
		category := r.get("category", note, "category_id")
		d["named"] = r.full(author)
		if editor != nil {
			d["named"] = r.full(author) + strings.ToUpper(r.full(editor))
		}
		d["grand"] = null1(r.get("category", r.get("category", category, "parent_id"), "parent_id"), "name")
		d["siblings"] = []string{}
		if category != nil {
			d["siblings"] = texts(byText(r.where("category", "parent_id", category["id"]), "name", -1, strings.Compare), "name")
		}
		d["place"] = null1(r.tables["place"][note["place_a"]+"/"+note["place_b"]], "name")
		r.many(note, editor, d)
		body, err := json.Marshal(d)
		r.must(err)
		documents[note["id"]+"@"+author["region"]] = string(body)
	}
	return documents
}

// many fills in what comes of a note's comments and tags.
func (r *joinedRig) many(note, editor map[string]string, d map[string]any) {
	var tags []map[string]string
	for _, join := range r.where("note_tag", "note_id", note["id"]) {
		if tag := r.get("tag", join, "tag_id"); tag != nil {
			tags = append(tags, tag)
		}
	}
	slices.SortStableFunc(tags, func(a, b map[string]string) int { return number1(a["id"]) - number1(b["id"]) })
	tags = byText(tags, "name", 1, strings.Compare)
	d["tags"] = texts(tags, "name")
	comments := r.where("comment", "note_id", note["id"])
	slices.Reverse(comments)
	comments = byText(comments, "created", 1, func(a, b string) int { return number1(a) - number1(b) })
	objects, commenters, total, involved := []any{}, []string{}, 0, false
	text := note["title"] + "|"
	for _, c := range comments {
		person := r.get("person", c, "person_id")
		label := c["body"] + "/"
		if person != nil {
			label += r.full(person)
			commenters = append(commenters, texts([]map[string]string{person}, "name")...)
		}
		objects = append(objects, map[string]any{"author": null1(person, "name"), "body": null1(c, "body"), "label": label})
		text += c["body"] + ":" + person["name"] + ";"
		total += number1(c["created"])
		involved = involved || r.get("org", person, "org_id")["name"] == "a"
	}
	text += "|"
	for i, tag := range tags {
		text += strconv.Itoa(i) + tag["name"]
		if strings.HasPrefix(tag["name"], "a") {
			total++
		}
	}
	text += "|"
	if editor != nil {
		text += "E"
	}
	d["text"] = text + strconv.Itoa(len(tags))
	d["django"] = d["text"]
	d["comments"], d["commenters"], d["total"], d["involved"], d["first"] = objects, commenters, total, involved, nil
	if len(comments) > 0 {
		d["first"] = null1(comments[0], "body")
	}
}

func (r *joinedRig) people() map[string]string {
	documents := map[string]string{}
	for _, person := range r.tables["person"] {
		notes := r.where("note", "author_id", person["id"])
		body, err := json.Marshal(map[string]any{"name": null1(person, "name"), "written": len(notes), "titles": texts(notes, "title")})
		r.must(err)
		documents[person["code"]+"@"] = string(body)
	}
	return documents
}

func parseMoment(text string) int64 {
	t, _ := value.ParseTime(text)
	return t.UnixMicro()
}
