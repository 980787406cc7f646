package dashboards

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"haystream/internal/conf"
)

// A standIn takes what is pushed as the targets do, and refuses what they would.
type standIn struct {
	t        *testing.T
	prefix   string            // of all paths
	header   map[string]string // that every request must have
	writes   int
	objects  map[string]object // saved objects, data views, dashboards and data sources, by kind and id
	drop     bool              // panels are accepted and not kept
	requests []string
}

func serve(t *testing.T, prefix string, header map[string]string) (*standIn, string) {
	s := &standIn{t: t, prefix: prefix, header: header, objects: map[string]object{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, server.URL
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	for name, want := range s.header {
		if is := r.Header.Get(name); is != want {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprintf(w, `{"message":"the header %s is wrong"}`, name)
			return
		}
	}
	path, ok := strings.CutPrefix(r.URL.Path, s.prefix)
	if !ok {
		http.Redirect(w, r, "/login", http.StatusFound)
		return
	}
	status, answer := s.answer(r, path)
	w.WriteHeader(status)
	if text, ok := answer.([]byte); ok {
		_, _ = w.Write(text)
	} else {
		_ = json.NewEncoder(w).Encode(answer)
	}
}

func (s *standIn) answer(r *http.Request, path string) (int, any) {
	var body object
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			s.t.Error(err)
		}
	}
	get := func(kind, id, member string) (int, any) {
		if o := s.objects[kind+" "+id]; o != nil {
			return 200, object{member: o}
		}
		return 404, object{"message": "Not found"}
	}
	last := path[strings.LastIndexByte(path, '/')+1:]
	switch route := r.Method + " " + strings.TrimSuffix(path, last); {
	case r.Method+" "+path == "POST /api/saved_objects/_export":
		return s.export(body)
	case r.Method+" "+path == "POST /api/saved_objects/_import":
		return s.load(r)
	case route == "GET /api/data_views/data_view/":
		return get("data view", last, "data_view")
	case r.Method+" "+path == "POST /api/data_views/data_view":
		view := body["data_view"].(object)
		s.writes++
		s.objects["data view "+view["id"].(string)] = view
		return 200, body
	case route == "POST /api/data_views/data_view/":
		s.writes++
		maps.Copy(s.objects["data view "+last], body["data_view"].(object))
		return 200, body
	case route == "GET /api/dashboards/":
		return get("dashboard", last, "data")
	case route == "PUT /api/dashboards/":
		s.writes++
		body["options"] = object{"use_margins": true} // what was left out comes back
		if s.drop {
			body["panels"] = []any{}
		}
		s.objects["dashboard "+last] = body
		return 200, object{"id": last, "data": body}
	case route == "GET /api/datasources/uid/":
		return get("data source", last, "name")
	case r.Method+" "+path == "POST /api/datasources":
		s.writes++
		s.objects["data source "+body["uid"].(string)] = body
		return 200, body
	case route == "GET /api/dashboards/uid/":
		return get("dashboard", last, "dashboard")
	case r.Method+" "+path == "POST /api/dashboards/db":
		s.writes++
		if body["overwrite"] != true {
			return 412, object{"message": "the dashboard has been changed by someone else"}
		}
		d := body["dashboard"].(object)
		d["id"], d["version"] = 7, s.writes
		s.objects["dashboard "+d["uid"].(string)] = d
		return 200, object{"status": "success"}
	}
	s.t.Errorf("%s %s is no request of the API", r.Method, path)
	return 404, object{"message": "Not found"}
}

// export refuses the whole request where an object is not there, as Kibana does.
func (s *standIn) export(body object) (int, any) {
	var out bytes.Buffer
	missing := []object{}
	for _, k := range body["objects"].([]any) {
		k := k.(object)
		o := s.objects[k["type"].(string)+" "+k["id"].(string)]
		if o == nil {
			missing = append(missing, object{"type": k["type"], "id": k["id"], "error": object{"statusCode": 404, "error": "Not Found"}})
			continue
		}
		_ = json.NewEncoder(&out).Encode(o)
	}
	if len(missing) > 0 {
		return 400, object{"statusCode": 400, "message": "Bad Request", "attributes": object{"objects": missing}}
	}
	return 200, out.Bytes()
}

func (s *standIn) load(r *http.Request) (int, any) {
	if r.URL.RawQuery != "overwrite=true" {
		s.t.Errorf("the query is %q", r.URL.RawQuery)
	}
	file, header, err := r.FormFile("file")
	if err != nil || !strings.HasSuffix(header.Filename, ".ndjson") {
		s.t.Errorf("no file of a known name: %v", err)
		return 400, object{"message": "Invalid file"}
	}
	decoder := json.NewDecoder(file)
	loaded := map[string]object{}
	for {
		var o object
		if err := decoder.Decode(&o); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			s.t.Fatal(err)
		}
		loaded[o["type"].(string)+" "+o["id"].(string)] = o
	}
	var errs []object
	for name, o := range loaded {
		for _, ref := range o["references"].([]any) {
			to := ref.(object)["type"].(string) + " " + ref.(object)["id"].(string)
			if loaded[to] == nil && s.objects[to] == nil {
				errs = append(errs, object{"type": o["type"], "id": o["id"], "error": object{"type": "missing_references", "references": []object{{"id": to}}}})
			}
		}
		o["attributes"].(object)["migrated"] = true // the target's own form
		o["updated_at"] = fmt.Sprint(s.writes)
		s.writes++
		s.objects[name] = o
	}
	return 200, object{"success": errs == nil, "successCount": len(loaded), "errors": errs}
}

var targets = map[string]map[string]string{
	Kibana:     {"Kbn-Xsrf": "true", "Elastic-Api-Version": "2023-10-31"},
	Kibana7:    {"Kbn-Xsrf": "true"},
	OpenSearch: {"Osd-Xsrf": "true"},
	Grafana:    {},
}

func pushTo(t *testing.T, b *Boards, target string, options PushOptions) (string, error) {
	t.Helper()
	options.Server = SearchServer{URL: "http://search:9200"}
	var out bytes.Buffer
	err := b.Push(t.Context(), target, options, &out)
	return out.String(), err
}

// A second push replaces what the first has put there. What somebody has edited in between is left alone, and said.
func TestPush(t *testing.T) {
	for target, header := range targets {
		t.Run(target, func(t *testing.T) {
			s, url := serve(t, "", header)
			options := PushOptions{URL: conf.Secret(url)}
			b := shopBoards(t)
			out, err := pushTo(t, b, target, options)
			if err != nil {
				t.Fatal(err)
			}
			for _, said := range []string{": notes", ": shop"} {
				if !strings.Contains(out, said) {
					t.Errorf("%q is not in %q", said, out)
				}
			}
			first := len(s.objects)
			if _, err := pushTo(t, shopBoards(t), target, options); err != nil {
				t.Fatalf("the second time: %v", err)
			}
			if len(s.objects) != first {
				t.Errorf("%d objects after the second push, %d after the first", len(s.objects), first)
			}
			name := edit(t, s)
			_, err = pushTo(t, shopBoards(t), target, options)
			if err == nil || !strings.Contains(err.Error(), "somebody has edited") || !strings.Contains(err.Error(), name) || strings.Count(err.Error(), "haystream-") != 1 {
				t.Errorf("with %s edited: %v", name, err)
			}
			if !strings.Contains(text(s.objects[name]), "by hand") {
				t.Error("the edit is gone")
			}
			options.Force = true
			if _, err := pushTo(t, shopBoards(t), target, options); err != nil {
				t.Fatalf("forced: %v", err)
			}
			if strings.Contains(text(s.objects[name]), "by hand") {
				t.Error("the edit is still there")
			}
			options.Force = false
			if _, err := pushTo(t, shopBoards(t), target, options); err != nil {
				t.Errorf("after a forced push: %v", err)
			}
		})
	}
}

// edit changes the title of a dashboard.
func edit(t *testing.T, s *standIn) string {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(s.objects)) {
		if strings.HasPrefix(name, "dashboard ") {
			if attributes, ok := s.objects[name]["attributes"].(object); ok {
				attributes["title"] = "by hand"
			} else {
				s.objects[name]["title"] = "by hand"
			}
			return name
		}
	}
	t.Fatal("there is no dashboard")
	return ""
}

// A dashboard of that id which nobody pushed is somebody's.
func TestPushOverForeign(t *testing.T) {
	s, url := serve(t, "", targets[Kibana])
	b := shopBoards(t)
	foreign := object{"title": "mine", "panels": []any{}}
	s.objects["dashboard "+b.Boards[0].ID] = foreign
	_, err := pushTo(t, b, Kibana, PushOptions{URL: conf.Secret(url)})
	if err == nil || !strings.Contains(err.Error(), b.Boards[0].ID) || s.objects["dashboard "+b.Boards[0].ID]["title"] != "mine" {
		t.Errorf("%v, and %v", err, foreign)
	}
}

// A push that was cut short is repeated without force.
func TestPushAfterOneCutShort(t *testing.T) {
	for _, target := range []string{Kibana, Kibana7, Grafana} {
		s, url := serve(t, "", targets[target])
		options := PushOptions{URL: conf.Secret(url)}
		if _, err := pushTo(t, shopBoards(t), target, options); err != nil {
			t.Fatal(err)
		}
		for _, o := range s.objects {
			for _, holder := range []object{o, asObject(o["attributes"])} {
				if description, ok := holder["description"].(string); ok {
					rest, _ := unmark(description)
					holder["description"] = marked(rest, unfinished)
				}
			}
		}
		if _, err := pushTo(t, shopBoards(t), target, options); err != nil {
			t.Errorf("%s: %v", target, err)
		}
		for name, o := range s.objects {
			if strings.Contains(text(o), unfinished) {
				t.Errorf("%s: %s is still marked", target, name)
			}
		}
	}
}

func asObject(v any) object {
	o, _ := v.(object)
	return o
}

// Data views are left as they are: people give them formats and fields of their own.
func TestPushKeepsDataViews(t *testing.T) {
	for _, target := range []string{Kibana, Kibana7} {
		s, url := serve(t, "", targets[target])
		options := PushOptions{URL: conf.Secret(url)}
		b := shopBoards(t)
		if _, err := pushTo(t, b, target, options); err != nil {
			t.Fatal(err)
		}
		id := b.view("notes", nil, false).ID
		view := s.objects["data view "+id]
		if target == Kibana7 {
			view = s.objects["index-pattern "+id]["attributes"].(object)
		}
		view["fieldFormats"] = "of somebody's"
		if _, err := pushTo(t, b, target, options); err != nil || view["fieldFormats"] == nil {
			t.Errorf("%s: %v, %v", target, err, view)
		}
		view["timeFieldName"] = "edited"
		if _, err := pushTo(t, b, target, options); err == nil || !strings.Contains(err.Error(), id) {
			t.Errorf("%s: another time field: %v", target, err)
		}
	}
}

// Spaces, workspaces and tenants; users and keys; and none of it in an error.
func TestPushAddresses(t *testing.T) {
	basic := "Basic " + "c2FtOnNlYw==" // sam:sec
	for name, c := range map[string]struct {
		target, prefix, query string
		user                  bool // in the URL
		options               PushOptions
		header                map[string]string
	}{
		"space":          {target: Kibana, prefix: "/kibana/s/shop", header: map[string]string{}},
		"space of 7":     {target: Kibana7, prefix: "/s/shop", header: map[string]string{}},
		"workspace":      {target: OpenSearch, prefix: "/w/abc", header: map[string]string{}},
		"tenant":         {target: OpenSearch, query: "?security_tenant=shop", header: map[string]string{"Securitytenant": "shop"}},
		"user in URL":    {target: Kibana7, user: true, header: map[string]string{"Authorization": basic}},
		"user":           {target: OpenSearch, options: PushOptions{User: "sam", Password: "sec"}, header: map[string]string{"Authorization": basic}},
		"key":            {target: Kibana, options: PushOptions{APIKey: "abc"}, header: map[string]string{"Authorization": "ApiKey abc"}},
		"token":          {target: Grafana, prefix: "/grafana", options: PushOptions{APIKey: "abc"}, header: map[string]string{"Authorization": "Bearer abc"}},
		"user, not key":  {target: Kibana, user: true, options: PushOptions{APIKey: "abc"}, header: map[string]string{"Authorization": basic}},
		"nobody and all": {target: Grafana, header: map[string]string{"Authorization": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			_, url := serve(t, c.prefix, c.header)
			if c.user {
				url = strings.Replace(url, "http://", "http://sam:sec@", 1)
			}
			c.options.URL = conf.Secret(url + c.prefix + c.query)
			if _, err := pushTo(t, shopBoards(t), c.target, c.options); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPushErrors(t *testing.T) {
	s, url := serve(t, "/base", map[string]string{"Authorization": "Basic c2FtOnNlY3JldA=="})
	at := func(rest string) conf.Secret { return conf.Secret(strings.Replace(url, "http://", rest, 1)) }
	for name, c := range map[string]struct {
		target  string
		options PushOptions
		want    []string
	}{
		"wrong password": {Kibana, PushOptions{URL: at("http://sam:hidden@") + "/base"}, []string{"GET http://127.0.0.1", "401", "user and a password"}},
		"login page":     {Kibana7, PushOptions{URL: at("http://sam:secret@")}, []string{"302", "the path"}},
		"no address":     {Kibana, PushOptions{URL: "kibana:hidden"}, []string{"--push must be an address"}},
		"no port":        {Kibana, PushOptions{URL: "http://sam:hidden@kibana:port"}, []string{"--push must be an address"}},
		"key":            {OpenSearch, PushOptions{URL: at("http://"), APIKey: "hidden"}, []string{"takes no API key"}},
		"nobody there":   {Grafana, PushOptions{URL: "http://sam:hidden@127.0.0.1:1"}, []string{"connection refused"}},
	} {
		_, err := pushTo(t, shopBoards(t), c.target, c.options)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in %v", name, want, err)
			}
		}
		if strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: a secret is in %v", name, err)
		}
	}
	s.drop = true
	_, err := pushTo(t, shopBoards(t), Kibana, PushOptions{URL: at("http://sam:secret@") + "/base"})
	if err == nil || !strings.Contains(err.Error(), "--for kibana-7") {
		t.Errorf("panels that are not kept: %v", err)
	}
}
