package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// The documents that the queries read.
const (
	notesIndex  = "notes"
	peopleIndex = "people"
)

// Marks around the words that a search has found. Texts do not hold them.
const (
	hitStart = "\x01"
	hitEnd   = "\x02"
)

// bar is one line of a chart.
type bar struct {
	label string
	count int64
}

// count is how many documents of an index can be found.
func (s *search) count(ctx context.Context, index string) (int64, error) {
	var answer struct{ Count int64 }
	err := s.call(ctx, http.MethodGet, "/"+index+"/_count", nil, &answer)
	return answer.Count, err
}

// notesPerDay is a date histogram of the last days, the newest first.
func (s *search) notesPerDay(ctx context.Context) ([]bar, error) {
	var answer searchAnswer
	err := s.call(ctx, http.MethodPost, "/"+notesIndex+"/_search", object{
		"size":  0,
		"query": object{"range": object{"pub_date": object{"gte": fmt.Sprintf("now-%dd/d", days-1)}}},
		"aggs": object{"groups": object{"date_histogram": object{
			"field": "pub_date", "calendar_interval": "day", "format": "EEE d MMM", "order": object{"_key": "desc"},
		}}},
	}, &answer)
	if err != nil {
		return nil, err
	}
	var bars []bar
	for _, b := range answer.Aggregations.Groups.Buckets {
		bars = append(bars, bar{b.Text, b.Count})
	}
	return bars, nil
}

// notesByAuthor counts by author; their names are documents of another index.
func (s *search) notesByAuthor(ctx context.Context, most int) ([]bar, error) {
	var answer searchAnswer
	err := s.call(ctx, http.MethodPost, "/"+notesIndex+"/_search", object{
		"size": 0,
		"aggs": object{"groups": object{"terms": object{"field": "author_id", "size": most}}},
	}, &answer)
	buckets := answer.Aggregations.Groups.Buckets
	if err != nil || len(buckets) == 0 {
		return nil, err
	}
	var ids []string
	for _, b := range buckets {
		ids = append(ids, b.Key.String())
	}
	var people struct{ Docs []hit }
	if err := s.call(ctx, http.MethodPost, "/"+peopleIndex+"/_mget?_source=username", object{"ids": ids}, &people); err != nil {
		return nil, err
	}
	var bars []bar
	for i, b := range buckets {
		name := "user " + ids[i]
		var person struct{ Username string }
		if i < len(people.Docs) && json.Unmarshal(people.Docs[i].Source, &person) == nil && person.Username != "" {
			name = person.Username
		}
		bars = append(bars, bar{name, b.Count})
	}
	return bars, nil
}

// found is what a full-text search answers.
type found struct {
	words string
	total int64
	took  int // milliseconds
	notes []foundNote
}

type foundNote struct{ title, fragment string }

// fullText searches titles and bodies.
func (s *search) fullText(ctx context.Context, words string, most int) (found, error) {
	var answer searchAnswer
	err := s.call(ctx, http.MethodPost, "/"+notesIndex+"/_search", object{
		"size":    most,
		"query":   object{"match": object{"text": words}},
		"_source": []string{"title"},
		"highlight": object{
			"pre_tags": []string{hitStart}, "post_tags": []string{hitEnd},
			"fields": object{"text": object{"fragment_size": 90, "number_of_fragments": 1}},
		},
	}, &answer)
	if err != nil {
		return found{}, err
	}
	out := found{words: words, total: answer.Hits.Total.Value, took: answer.Took}
	for _, h := range answer.Hits.Hits {
		var doc struct{ Title string }
		if err := json.Unmarshal(h.Source, &doc); err != nil {
			return found{}, fmt.Errorf("decode note %s: %w", h.ID, err)
		}
		fragment := strings.Join(strings.Fields(strings.Join(h.Highlight["text"], " ")), " ")
		out.notes = append(out.notes, foundNote{doc.Title, fragment})
	}
	return out, nil
}
