package elasticsearch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestScannerReadsAnswers(t *testing.T) {
	for _, c := range []struct {
		name, response string
		want           []answer
	}{
		{"none", `{"took":0,"errors":false,"items":[]}`, nil},
		{"filtered", `{"items":[{"index":{"status":200}},{"delete":{"status":404}}]}`, []answer{{status: 200}, {status: 404}}},
		{
			"Elasticsearch 7", `{"took":262,"ingest_took":12,"errors":true,"items":[{"index":{"_index":"a","_type":"_doc","_id":"1","_version":5,"result":"created","_shards":{"total":2,"successful":1,"failed":0},"_seq_no":0,"_primary_term":1,"status":201}},` +
				`{"index":{"_index":"a","_type":"_doc","_id":"1","status":409,"error":{"type":"version_conflict_engine_exception","reason":"[1]: version conflict, current version [5] is higher than the one provided [4]","index_uuid":"Ob","shard":"0","index":"a"}}}]}`,
			[]answer{{status: 201}, {status: 409, typ: versionConflict}},
		},
		{
			"causes inside causes", `{"items":[{"index":{"error":{"type":"document_parsing_exception","reason":"failed to parse","caused_by":{"type":"inner","reason":"deeper","caused_by":{"type":"x","reason":"y"}}},"status":400}}]}`,
			[]answer{{status: 400, typ: "document_parsing_exception", reason: "failed to parse"}},
		},
		{
			"escapes", `{"items":[{"index":{"status":400,"error":{"type":"t","reason":"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00 \ud83d\n \ud83dx \ud83d\u0041 😀"}}}]}`,
			[]answer{{status: 400, typ: "t", reason: "a\"\\/\b\f\n\r\té😀 \ufffd\n \ufffdx \ufffdA 😀"}},
		},
		{
			"failure store", `{"items":[{"create":{"_index":".fs-x","failure_store":"used","status":201}},{"create":{"failure_store":"not_applicable_or_unknown","status":201}}]}`,
			[]answer{{status: 201, failureStore: true}, {status: 201}},
		},
		{
			"dropped", `{"items":[{"index":{"_index":"a","_id":"1","_version":-3,"result":"noop","_shards":{"total":0,"successful":0,"failed":0},"status":200}},{"index":{"result":"updated","status":200}}]}`,
			[]answer{{status: 200, dropped: true}, {status: 200}},
		},
		{"an error in words", `{"items":[{"index":{"status":500,"error":"out of order"}}]}`, []answer{{status: 500, typ: "error", reason: "out of order"}}},
		{"no reason", `{"items":[{"index":{"status":500,"error":{"type":"null_pointer_exception","reason":null}}}]}`, []answer{{status: 500, typ: "null_pointer_exception"}}},
		{"white space", " { \"errors\" : [ { } , -1.5E+3 , true , \"}]\" ] ,\r\n\"items\" : [ { \"index\" : { \"status\" : 200 } } ] } ", []answer{{status: 200}}},
	} {
		for _, way := range []string{"whole", "byte by byte"} {
			src := bytes.NewReader([]byte(c.response))
			s, r := new(scanner), iotest.OneByteReader(src)
			if way == "whole" {
				r = src
			}
			got, err := s.answers(r, nil, len(c.want))
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s, %s: got %+v, %v, want %+v", c.name, way, got, err, c.want)
			}
		}
	}
}

func TestScannerDistrustsBrokenResponses(t *testing.T) {
	whole := `{"took":1,"items":[{"index":{"status":400,"error":{"type":"t","reason":"r\u00e9"}}},{"index":{"status":201}}]}`
	s := new(scanner)
	for n := range len(whole) {
		if got, err := s.answers(strings.NewReader(whole[:n]), nil, 2); err == nil {
			t.Errorf("cut after %d bytes: got %+v and no error", n, got)
		}
	}
	for name, response := range map[string]string{
		"empty":               ``,
		"a page for people":   `<html><body>502 Bad Gateway</body></html>`,
		"another document":    `{"took":1}`,
		"one item too few":    `{"items":[{"index":{"status":201}}]}`,
		"one item too many":   `{"items":[{"index":{"status":201}},{"index":{"status":201}},{"index":{"status":201}}]}`,
		"no status":           `{"items":[{"index":{"status":201}},{"index":{}}]}`,
		"a status in words":   `{"items":[{"index":{"status":201}},{"index":{"status":"ok"}}]}`,
		"no comma":            `{"items":[{"index":{"status":201}} {"index":{"status":201}}]}`,
		"a bad escape":        `{"items":[{"index":{"status":201}},{"index":{"status":400,"error":{"type":"\x"}}}]}`,
		"a bad unicode":       `{"items":[{"index":{"status":201}},{"index":{"status":400,"error":{"type":"\u00g0"}}}]}`,
		"unbalanced":          `{"took":],"items":[]}`,
		"items is an object":  `{"items":{"a":1,"b":2}}`,
		"an array of numbers": `{"items":[1,2]}`,
	} {
		if got, err := s.answers(strings.NewReader(response), nil, 2); err == nil {
			t.Errorf("%s: got %+v and no error", name, got)
		}
	}
	if got, err := s.answers(strings.NewReader(whole), nil, 2); err != nil || len(got) != 2 {
		t.Errorf("after broken ones, a whole one: %v, %v", got, err)
	}
}

func TestScannerBoundsTexts(t *testing.T) {
	long := strings.Repeat("é", 100_000)
	got, err := new(scanner).answers(strings.NewReader(`{"items":[{"index":{"status":400,"error":{"type":"t","reason":"`+long+`"}}}]}`), nil, 1)
	if err != nil || len(got[0].reason) > maxText || !strings.HasPrefix(long, got[0].reason) {
		t.Errorf("kept %d bytes, %v", len(got[0].reason), err)
	}
}

// FuzzScanner compares with encoding/json wherever that one understands the response.
func FuzzScanner(f *testing.F) {
	f.Add([]byte(`{"took":0,"errors":true,"items":[{"index":{"_id":"1","status":400,"error":{"type":"t","reason":"\ud83d\ude00\n"}}},{"delete":{"status":404}}]}`))
	f.Add([]byte(`{"items":[{"index":{"status":201,"failure_store":"used"}}]}`))
	f.Add([]byte(`{"error":{"type":"x"},"status":429}`))
	f.Fuzz(func(t *testing.T, response []byte) {
		var reference struct {
			Items []map[string]struct {
				Status int
				Error  struct{ Type, Reason string }
			}
		}
		err := json.Unmarshal(response, &reference)
		n := len(reference.Items)
		got, scanErr := new(scanner).answers(bytes.NewReader(response), nil, n)
		if scanErr != nil || err != nil || bytes.Count(response, []byte(`"items"`)) != 1 {
			return
		}
		for i, item := range reference.Items {
			for _, want := range item {
				if len(item) == 1 && got[i].status != want.Status && want.Status != 0 {
					t.Errorf("item %d: got status %d, want %d", i, got[i].status, want.Status)
				}
			}
		}
	})
}

func BenchmarkScanner(b *testing.B) {
	const n = 1000
	for name, item := range map[string]string{
		"filtered":   `{"index":{"status":201}}`,
		"superseded": `{"index":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"[1]: version conflict, current version [5] is higher than the one provided [4]"}}}`,
		"whole":      `{"index":{"_index":"notes-20260101-120000","_id":"1234567","_version":1767225600000000,"result":"created","_shards":{"total":2,"successful":1,"failed":0},"_seq_no":123456,"_primary_term":1,"status":201}}`,
	} {
		b.Run(name, func(b *testing.B) {
			response := []byte(fmt.Sprintf(`{"items":[%s]}`, strings.Join(slices.Repeat([]string{item}, n), ",")))
			s, r := new(scanner), bytes.NewReader(nil)
			var answers []answer
			var err error
			b.ReportAllocs()
			for b.Loop() {
				r.Reset(response)
				if answers, err = s.answers(r, answers[:0], n); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/action")
		})
	}
}
