package dashboards

import (
	"fmt"
	"strings"

	"haystream/replicator/widgets"
)

// How much of an index is shown at most. What is left out is said in the dashboard's description.
const (
	maxSums    = 8
	maxLists   = 9
	maxColumns = 10
)

// index is the dashboard of an alias: how many documents there are, how many a day, the top five of
// its keywords, the sums of its decimals, and the latest documents.
func (b *Boards) index(alias string, fields *widgets.Fields) {
	view := b.view(alias, fields, false)
	board := &Board{ID: newID(b.Name, "index", alias), Title: alias, Timed: view.TimeField != ""}
	panel := func(key string, p Panel) {
		p.ID, p.View = newID(b.Name, "index", alias, key), view
		board.Panels = append(board.Panels, &p)
	}
	decimals, keywords, shown := fieldsOf(fields)
	panel("count", Panel{Title: alias + ": documents", Kind: number, W: 12, H: 8})
	if view.TimeField != "" {
		panel("days", Panel{Title: alias + ": documents per day", Kind: graph, Over: view.TimeField, Every: "day", W: 36, H: 8})
	}
	left := &omissions{}
	for _, name := range left.first("sums", decimals, maxSums) {
		panel("sum "+name, Panel{Title: alias + ": sum of " + name, Kind: number, Function: widgets.Sum, Field: name, W: 12, H: 8})
	}
	for _, name := range left.first("top five", keywords, maxLists) {
		panel("top "+name, Panel{Title: alias + ": top " + name, Kind: list, By: name, Size: 5, W: 16, H: 12})
	}
	panel("latest", Panel{
		Title: alias + ": latest documents", Kind: documents, Columns: left.first("columns", shown, maxColumns), Sort: view.TimeField, W: columns, H: 18,
	})
	flow(board.Panels)
	board.Description = "The index " + alias + "." + left.String()
	b.Boards = append(b.Boards, board)
}

// fieldsOf sorts fields by what is shown of them.
func fieldsOf(fields *widgets.Fields) (decimals, keywords, shown []string) {
	for _, name := range fields.Names() {
		f, _ := fields.Find(name)
		whole := true // not part of another field
		if at := strings.LastIndexByte(name, '.'); at > 0 {
			parent, _ := fields.Find(name[:at])
			whole = parent == nil || parent.Type == "object"
		}
		if whole && f.Type != "object" {
			shown = append(shown, name)
		}
		if !f.Reachable() {
			continue
		}
		switch f.Type {
		case "scaled_float", "double", "float", "half_float":
			decimals = append(decimals, name)
		case "keyword", "constant_keyword":
			keywords = append(keywords, name)
		}
	}
	return decimals, keywords, shown
}

// omissions note what there was no room for.
type omissions struct{ notes []string }

// first are the first names, as many as there is room for.
func (o *omissions) first(what string, names []string, room int) []string {
	if len(names) <= room {
		return names
	}
	o.notes = append(o.notes, fmt.Sprintf("%s of %s", what, strings.Join(names[room:], ", ")))
	return names[:room]
}

func (o *omissions) String() string {
	if len(o.notes) == 0 {
		return ""
	}
	return " Left out: " + strings.Join(o.notes, "; ") + "."
}
