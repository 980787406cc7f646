package postgres

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"haystream/internal/servers"
)

// dateFormat is the format that sources.Kind names for dates of any year.
const dateFormat = `strict_date_optional_time||uuuu-MM-dd['T'HH:mm:ss[.SSSSSS][.SSSSS][.SSSS][.SSS][.SS][.S][X]]`

// TestElasticsearchTakesTypes indexes the dates, ranges and addresses that
// typesFile expects into fields of the types that they are meant for.
func TestElasticsearchTakesTypes(t *testing.T) {
	date, dates := field{Type: "date", Format: dateFormat}, field{Type: "date_range", Format: dateFormat}
	fields := map[string]field{
		"date": date, "timestamp without time zone": date, "timestamp with time zone": date,
		"date[]": date, "timestamp without time zone[]": date, "timestamp with time zone[]": date,
		"daterange": dates, "tsrange": dates, "tstzrange": dates, "tstzrange[]": dates,
		"datemultirange": dates, "tstzmultirange": dates,
		"int4range": {Type: "integer_range"}, "int4range[]": {Type: "integer_range"}, "int4multirange": {Type: "integer_range"},
		"int8range": {Type: "long_range"}, "numrange": {Type: "double_range"}, "nummultirange": {Type: "double_range"},
		"inet": {Type: "ip"}, "cidr": {Type: "ip_range"}, "inetrange": {Type: "ip_range"},
	}
	server := servers.Test(t, servers.Spec{Kind: servers.Elasticsearch, Version: "8.19"})
	properties := map[string]field{}
	var bulk bytes.Buffer
	var sent []string
	_, cases := readTypeCases(t)
	for _, c := range cases {
		f, wanted := fields[c.sql]
		if !wanted {
			continue
		}
		properties[c.sql] = f
		for _, v := range c.values {
			if c.sql == "inet" && strings.Contains(v.want, "/") {
				continue // a network is no address
			}
			fmt.Fprintf(&bulk, "{\"index\":{}}\n{%q:%s}\n", c.sql, v.want)
			sent = append(sent, c.sql+" "+v.want)
		}
	}
	if len(properties) != len(fields) {
		t.Errorf("%d of %d types are in %s", len(properties), len(fields), typesFile)
	}
	mapping, err := json.Marshal(map[string]any{"mappings": map[string]any{"dynamic": "strict", "properties": properties}})
	if err != nil {
		t.Fatal(err)
	}
	request(t, http.MethodPut, server.URL+"/types", bytes.NewReader(mapping))
	var answer struct {
		Items []struct {
			Index struct {
				Status int
				Error  any
			}
		}
	}
	if err := json.Unmarshal(request(t, http.MethodPost, server.URL+"/types/_bulk", &bulk), &answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Items) != len(sent) {
		t.Fatalf("%d answers for %d documents", len(answer.Items), len(sent))
	}
	for i, item := range answer.Items {
		if item.Index.Status >= http.StatusMultipleChoices {
			t.Errorf("%s: %v", sent[i], item.Index.Error)
		}
	}
}

type field struct {
	Type   string `json:"type"`
	Format string `json:"format,omitempty"`
}

func request(t *testing.T, method, url string, body io.Reader) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s, %v: %s", method, url, response.Status, err, text)
	}
	return text
}
