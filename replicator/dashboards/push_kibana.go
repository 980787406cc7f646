package dashboards

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
)

// kibana puts data views and dashboards by the APIs of Kibana 9.5 and later.
func (p *push) kibana(ctx context.Context) error {
	file := p.boards.kibana()
	for _, v := range file.DataViews {
		if err := p.dataView(ctx, v); err != nil {
			return fmt.Errorf("data view %s: %w", v.ID, err)
		}
	}
	for _, d := range file.Dashboards {
		if err := p.dashboard(ctx, d); err != nil {
			return fmt.Errorf("dashboard %s: %w", d.ID, err)
		}
	}
	return nil
}

// dataView makes the data view where it is not there. People give data views formats and fields of
// their own, so that one of the same alias and time field is left as it is.
func (p *push) dataView(ctx context.Context, v kibanaView) error {
	const path = "/api/data_views/data_view"
	var is struct {
		DataView kibanaView `json:"data_view"`
	}
	err := p.json(ctx, http.MethodGet, path+"/"+url.PathEscape(v.ID), nil, nil, &is)
	switch {
	case isStatus(err, http.StatusNotFound):
		err = p.json(ctx, http.MethodPost, path, nil, object{"data_view": v}, nil)
	case err != nil, is.DataView.Title == v.Title && is.DataView.TimeField == v.TimeField:
		return err
	case p.keep(true, "data view "+v.ID):
		return nil
	default:
		change := object{"title": v.Title, "timeFieldName": v.TimeField}
		err = p.json(ctx, http.MethodPost, path+"/"+url.PathEscape(v.ID), nil, object{"data_view": change, "refresh_fields": true}, nil)
	}
	if err != nil {
		return err
	}
	return p.tell("data view %s: %s", v.ID, v.Title)
}

func (p *push) dashboard(ctx context.Context, d kibanaDashboard) error {
	path := "/api/dashboards/" + url.PathEscape(d.ID)
	sent := len(d.Data["panels"].([]object))
	return p.replace(slot{
		what: "dashboard " + d.ID, title: d.Data["title"].(string),
		read: func() (object, string, error) {
			var answer struct {
				Data object `json:"data"`
			}
			err := p.json(ctx, http.MethodGet, path, nil, nil, &answer)
			description, _ := answer.Data["description"].(string)
			delete(answer.Data, "description")
			return answer.Data, description, err
		},
		put: func(mark string) error {
			body := maps.Clone(d.Data)
			body["description"] = marked(d.Data["description"].(string), mark)
			return p.json(ctx, http.MethodPut, path, nil, body, nil)
		},
		taken: func(content object) error {
			if panels, _ := content["panels"].([]any); len(panels) != sent {
				return fmt.Errorf("%d of its %d panels were taken; this Kibana has another form of them: use --for kibana-7", len(panels), sent)
			}
			return nil
		},
	})
}
