package dashboards

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A key names a saved object.
type key struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

func (k key) String() string { return k.Type + " " + k.ID }

// A stored is a saved object as the target gives it back: with members of its own.
type stored object

func (s stored) key() key {
	kind, _ := s["type"].(string)
	id, _ := s["id"].(string)
	return key{kind, id}
}

// described has the attributes of a stored object without the description, and the description.
func (s stored) described() (attributes object, description string) {
	all, _ := s["attributes"].(object)
	attributes = object{}
	for name, value := range all {
		if name != "description" {
			attributes[name] = value
		}
	}
	description, _ = all["description"].(string)
	return attributes, description
}

// content is what an edit can change but for the description.
func (s stored) content() any {
	attributes, _ := s.described()
	return []any{attributes, s["references"]}
}

// savedObjects imports the boards: once as they are written, with a mark that the push is on its way; then, as
// the target gives them back in its own form, with the digest of that.
func (p *push) savedObjects(ctx context.Context) error {
	wanted := p.boards.savedObjects()
	there, err := p.export(ctx, wanted)
	if err != nil {
		return err
	}
	if wanted, err = p.choose(wanted, there); err != nil || len(wanted) == 0 {
		return err
	}
	var lines []any
	for _, o := range wanted {
		if o.Type != "index-pattern" { // which has no description
			description, _ := o.Attributes["description"].(string)
			o.Attributes["description"] = marked(description, unfinished)
		}
		lines = append(lines, o)
	}
	if err := p.load(ctx, lines); err != nil {
		return err
	}
	if there, err = p.export(ctx, wanted); err != nil {
		return err
	}
	lines = nil
	for _, o := range wanted {
		s := there[key{o.Type, o.ID}]
		if s == nil {
			return fmt.Errorf("%s %s was imported and is not there", o.Type, o.ID)
		}
		if o.Type == "index-pattern" {
			continue
		}
		_, description := s.described()
		rest, _ := unmark(description)
		mark, err := digest(s.content(), rest)
		if err != nil {
			return fmt.Errorf("%s: %w", s.key(), err)
		}
		s["attributes"].(object)["description"] = marked(rest, mark)
		lines = append(lines, s)
	}
	if err := p.load(ctx, lines); err != nil {
		return err
	}
	for _, o := range wanted {
		if err := p.tell("%s %s: %s", o.Type, o.ID, o.Attributes["title"]); err != nil {
			return err
		}
	}
	return nil
}

// choose leaves out what is edited, and data views that are as they are wanted: people give those formats and fields of their own.
func (p *push) choose(wanted []*savedObject, there map[key]stored) ([]*savedObject, error) {
	var chosen []*savedObject
	for _, o := range wanted {
		s := there[key{o.Type, o.ID}]
		if s == nil {
			chosen = append(chosen, o)
			continue
		}
		attributes, description := s.described()
		var edited bool
		if o.Type == "index-pattern" {
			if attributes["title"] == o.Attributes["title"] && attributes["timeFieldName"] == o.Attributes["timeFieldName"] {
				continue
			}
			edited = true
		} else {
			var err error
			if edited, err = isEdited(s.content(), description); err != nil {
				return nil, fmt.Errorf("%s: %w", s.key(), err)
			}
		}
		if !p.keep(edited, s.key().String()) {
			chosen = append(chosen, o)
		}
	}
	return chosen, nil
}

// export reads the objects that are there.
func (p *push) export(ctx context.Context, objects []*savedObject) (map[key]stored, error) {
	var keys []key
	for _, o := range objects {
		keys = append(keys, key{o.Type, o.ID})
	}
	for {
		if len(keys) == 0 {
			return nil, nil
		}
		body, err := json.Marshal(object{"objects": keys, "excludeExportDetails": true, "includeReferencesDeep": false})
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		answer, err := p.do(ctx, http.MethodPost, "/api/saved_objects/_export", nil, "application/json", body)
		if err != nil {
			missing := notFound(err)
			rest := slices.DeleteFunc(slices.Clone(keys), func(k key) bool { return slices.Contains(missing, k) })
			if len(rest) == len(keys) {
				return nil, err
			}
			keys = rest
			continue
		}
		return readLines(answer)
	}
}

// notFound are the objects that an export was refused for, since they are not there.
func notFound(err error) (missing []key) {
	e, ok := errors.AsType[*answerError](err)
	if !ok || e.status != http.StatusBadRequest {
		return nil
	}
	var refusal struct {
		Attributes struct {
			Objects []struct {
				key
				Error *struct {
					StatusCode int `json:"statusCode"`
				} `json:"error"`
			} `json:"objects"`
		} `json:"attributes"`
	}
	if json.Unmarshal(e.body, &refusal) != nil {
		return nil
	}
	for _, o := range refusal.Attributes.Objects {
		if o.Error != nil && o.Error.StatusCode == http.StatusNotFound {
			missing = append(missing, o.key)
		}
	}
	return missing
}

func readLines(text []byte) (map[key]stored, error) {
	all := map[key]stored{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	for {
		var s stored
		err := decoder.Decode(&s)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read exported objects: %w", err)
		}
		if _, ok := s["attributes"].(object); ok {
			all[s.key()] = s
		}
	}
}

// load imports objects over those that are there.
func (p *push) load(ctx context.Context, lines []any) error {
	if len(lines) == 0 {
		return nil
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, err := form.CreateFormFile("file", "haystream.ndjson")
	if err != nil {
		return fmt.Errorf("make form: %w", err)
	}
	encoder := json.NewEncoder(file)
	for _, line := range lines {
		if err := encoder.Encode(line); err != nil {
			return fmt.Errorf("encode object: %w", err)
		}
	}
	if err := form.Close(); err != nil {
		return fmt.Errorf("make form: %w", err)
	}
	answer, err := p.do(ctx, http.MethodPost, "/api/saved_objects/_import", url.Values{"overwrite": {"true"}}, form.FormDataContentType(), body.Bytes())
	if err != nil {
		return err
	}
	var result struct {
		Success bool `json:"success"`
		Errors  []struct {
			key
			Error json.RawMessage `json:"error"`
		} `json:"errors"`
	}
	if err := json.Unmarshal(answer, &result); err != nil {
		return fmt.Errorf("read answer to the import: %w", err)
	}
	if result.Success {
		return nil
	}
	var reasons []string
	for _, e := range result.Errors {
		reasons = append(reasons, fmt.Sprintf("%s: %s", e.key, e.Error))
	}
	return fmt.Errorf("not all objects were imported: %s", strings.Join(reasons, "; "))
}
