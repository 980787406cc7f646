package dashboards

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"haystream/replicator/widgets"
)

// maxPanels is how many panels Kibana's Dashboards API takes.
const maxPanels = 100

// widgets is the dashboard of the widgets, in several parts where they are many.
func (b *Boards) widgets(set widgets.Set, alias func(string) string, fields map[string]*widgets.Fields) error {
	names := slices.Sorted(maps.Keys(set))
	part := 0
	for some := range slices.Chunk(names, maxPanels) {
		part++
		board := &Board{ID: newID(b.Name, "widgets"), Title: b.Name, Description: "The widgets of " + b.Name + "."}
		if part > 1 {
			number := fmt.Sprint(part)
			board.ID, board.Title = newID(b.Name, "widgets", number), b.Name+" "+number
		}
		for _, name := range some {
			p, err := b.widget(name, set[name], alias(set[name].Index), fields)
			if err != nil {
				return fmt.Errorf("widget %s: %w", name, err)
			}
			board.Panels = append(board.Panels, p)
		}
		// Numbers first, in rows of their own: the others are higher.
		slices.SortStableFunc(board.Panels, func(p, q *Panel) int { return cmp.Compare(p.H, q.H) })
		flow(board.Panels)
		b.Boards = append(b.Boards, board)
	}
	return nil
}

func (b *Boards) widget(name string, w *widgets.Config, alias string, fields map[string]*widgets.Fields) (*Panel, error) {
	f := fields[alias]
	if f == nil {
		return nil, fmt.Errorf("nothing is known of the index %s", alias)
	}
	p := &Panel{ID: newID(b.Name, "widget", name), Title: cmp.Or(w.Title, name), View: b.view(alias, f, true), Query: w.Query, W: 12, H: 8}
	if p.Function, p.Field = w.Value.Aggregation(f); p.Function == widgets.Percentile {
		p.Percent = w.Value.Rank()
	}
	switch w.Kind() {
	case widgets.KindList:
		p.Kind, p.By, p.Size, p.W, p.H = list, f.Exact(w.List.By), w.List.Limit(), 16, 14
	case widgets.KindGraph:
		p.Kind, p.Over, p.Every, p.Since, p.W, p.H = graph, w.Graph.Over, w.Graph.Interval(), w.Graph.Reach().String(), 24, 14
	default:
		p.Kind = number
		if !w.Compare.IsZero() {
			before, err := w.Query.Before(w.Compare)
			if err != nil {
				return nil, err
			}
			p.Before, p.Ago = &before, w.Compare.String()
		}
	}
	return p, nil
}
