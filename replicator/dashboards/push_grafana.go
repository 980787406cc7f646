package dashboards

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
)

// grafana puts data sources and dashboards by Grafana's HTTP API. Alert rules are in the files only:
// what is provisioned by a file cannot be edited there by mistake.
func (p *push) grafana(ctx context.Context, server SearchServer) error {
	if server.URL == "" {
		return errors.New("the address of the search server is not in the config; write the files with --out instead")
	}
	for _, s := range p.boards.grafanaSources(server) {
		if err := p.grafanaSource(ctx, s); err != nil {
			return fmt.Errorf("data source %s: %w", s.UID, err)
		}
	}
	dashboards := p.boards.grafanaDashboards(server)
	text, err := daemonDashboard()
	if err != nil {
		return err
	}
	var daemon object
	if err := json.Unmarshal(text, &daemon); err != nil {
		return err
	}
	for _, d := range append(dashboards, daemon) {
		if err := p.grafanaDashboard(ctx, d); err != nil {
			return fmt.Errorf("dashboard %s: %w", d["uid"], err)
		}
	}
	return nil
}

// grafanaSource makes the data source where it is not there, without its secrets: those are given in Grafana.
func (p *push) grafanaSource(ctx context.Context, s grafanaSource) error {
	err := p.json(ctx, http.MethodGet, "/api/datasources/uid/"+s.UID, nil, nil, nil)
	if !isStatus(err, http.StatusNotFound) {
		return err
	}
	s.SecureData = nil
	if err := p.json(ctx, http.MethodPost, "/api/datasources", nil, s, nil); err != nil {
		return err
	}
	return p.tell("data source %s: %s", s.UID, s.Name)
}

func (p *push) grafanaDashboard(ctx context.Context, d object) error {
	uid := d["uid"].(string)
	return p.replace(slot{
		what: "dashboard " + uid, title: d["title"].(string),
		read: func() (object, string, error) {
			var answer struct {
				Dashboard object `json:"dashboard"`
			}
			err := p.json(ctx, http.MethodGet, "/api/dashboards/uid/"+uid, nil, nil, &answer)
			description, _ := answer.Dashboard["description"].(string)
			for _, own := range []string{"description", "id", "version"} { // the server's, but for the first
				delete(answer.Dashboard, own)
			}
			return answer.Dashboard, description, err
		},
		put: func(mark string) error {
			body := maps.Clone(d)
			body["description"] = marked(d["description"].(string), mark)
			return p.json(ctx, http.MethodPost, "/api/dashboards/db", nil, object{"dashboard": body, "overwrite": true, "message": "haystream dashboards"}, nil)
		},
	})
}
