package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

const mostSamples = 5 // differences of a kind that are printed

// truth is what an index must hold. The documents themselves are the dialect's.
type truth struct {
	index, table string
	where        string // which rows have a document
}

const everyRow = "true"

func truths() []truth {
	return []truth{
		{notesIndex, "myapp_note", "published"},
		{peopleIndex, "auth_user", everyRow},
		{"comments", "myapp_comment", everyRow},
		{"tags", "myapp_tag", everyRow},
	}
}

// result is how an index differs from its table.
type result struct {
	truth
	documents int
	missing   []string // ids
	extra     []string
	different []string // "id: field: want …, got …"
}

func (r result) equal() bool { return len(r.missing)+len(r.extra)+len(r.different) == 0 }

// String is one line, and some samples of what differs.
func (r result) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%-14s = %-9s %6d documents, %d missing, %d extra, %d different",
		r.table, r.index, r.documents, len(r.missing), len(r.extra), len(r.different))
	for _, kind := range []struct {
		name string
		all  []string
	}{{"missing", r.missing}, {"extra", r.extra}, {"different", r.different}} {
		for i, sample := range kind.all {
			if i == mostSamples {
				fmt.Fprintf(&text, "\n    and %d more", len(kind.all)-i)
				break
			}
			fmt.Fprintf(&text, "\n    %s %s", kind.name, sample)
		}
	}
	return text.String()
}

// compareAll compares every table with its index. Nobody may write meanwhile.
func compareAll(ctx context.Context, db *database, s *search) ([]result, error) {
	var results []result
	for _, t := range truths() {
		want, err := t.rows(ctx, db)
		if err != nil {
			return nil, err
		}
		got, err := s.documents(ctx, t.index)
		if err != nil {
			return nil, err
		}
		r, err := compare(want, got)
		if err != nil {
			return nil, fmt.Errorf("compare %s: %w", t.index, err)
		}
		r.truth = t
		results = append(results, r)
	}
	return results, nil
}

// rows are the documents that should be, by id.
func (t truth) rows(ctx context.Context, db *database) (map[string]json.RawMessage, error) {
	rows, err := db.QueryContext(ctx, "SELECT id, "+db.documents[t.table]+" FROM "+t.table+" WHERE "+t.where) //nolint:gosec // the words are the dialect's own
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", t.table, err)
	}
	defer rows.Close()
	docs := map[string]json.RawMessage{}
	for rows.Next() {
		var id string
		var doc []byte
		if err := rows.Scan(&id, &doc); err != nil {
			return nil, fmt.Errorf("read %s: %w", t.table, err)
		}
		docs[id] = doc
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", t.table, err)
	}
	return docs, nil
}

// documents are those of the index, by id. An index that is not there has none.
func (s *search) documents(ctx context.Context, index string) (map[string]json.RawMessage, error) {
	var refreshed struct{}
	docs := map[string]json.RawMessage{}
	err := s.call(ctx, http.MethodPost, "/"+index+"/_refresh", nil, &refreshed)
	if err == nil {
		err = s.scroll(ctx, index, func(h hit) { docs[h.ID] = h.Source })
	}
	if err != nil && !errors.Is(err, errNoIndex) {
		return nil, err
	}
	return docs, nil
}

// compare finds what is missing in got, what is too much, and what has another content.
func compare(want, got map[string]json.RawMessage) (result, error) {
	r := result{documents: len(got)}
	for _, id := range slices.Sorted(maps.Keys(want)) {
		doc, there := got[id]
		if !there {
			r.missing = append(r.missing, id)
			continue
		}
		difference, err := differ(want[id], doc)
		if err != nil {
			return result{}, fmt.Errorf("document %s: %w", id, err)
		}
		if difference != "" {
			r.different = append(r.different, id+": "+difference)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(got)) {
		if _, there := want[id]; !there {
			r.extra = append(r.extra, id)
		}
	}
	return r, nil
}

// differ says in which fields two documents differ; empty: in none. Numbers are compared by their digits.
func differ(want, got json.RawMessage) (string, error) {
	w, err := fieldsOf(want)
	if err != nil {
		return "", fmt.Errorf("read row: %w", err)
	}
	g, err := fieldsOf(got)
	if err != nil {
		return "", fmt.Errorf("read document: %w", err)
	}
	names := maps.Clone(w)
	maps.Copy(names, g)
	var found []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		inRow, wanted := w[name]
		inDocument, there := g[name]
		switch {
		case !there:
			found = append(found, name+": not in the document")
		case !wanted:
			found = append(found, name+": in the document only")
		case !reflect.DeepEqual(inRow, inDocument):
			found = append(found, fmt.Sprintf("%s: row has %s, document has %s", name, short(inRow), short(inDocument)))
		}
	}
	return strings.Join(found, "; "), nil
}

// fieldsOf decodes a document without a loss of digits.
func fieldsOf(doc json.RawMessage) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(doc))
	decoder.UseNumber()
	var fields map[string]any
	err := decoder.Decode(&fields)
	return fields, err
}

// short is a value as JSON, cut where it is long.
func short(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	if len(text) > 80 {
		return fmt.Sprintf("%.70s… (%d bytes)", text, len(text))
	}
	return string(text)
}
