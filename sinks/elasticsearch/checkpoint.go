package elasticsearch

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"haystream/sinks"
)

const (
	checkpointsIndex = "haystream-checkpoints"

	// checkpointsSpec indexes nothing but whose and when, so that the index never grows fields.
	checkpointsSpec = `{
	"settings": {"number_of_shards": 1, "auto_expand_replicas": "0-1"},
	"aliases": {"haystream-checkpoints-write": {}},
	"mappings": {"dynamic": false, "properties": {"owner": {"type": "keyword"}, "saved": {"type": "date"}}}}`
)

// A savedCheckpoint is the checkpoint's document.
type savedCheckpoint struct {
	Owner string    `json:"owner"`
	Saved time.Time `json:"saved"`
	Mark  string    `json:"mark"` // one per save, to recognise it by
	Data  string    `json:"data"`
}

// A stored checkpoint and its token.
type stored struct {
	Found  *bool           `json:"found"`
	Result string          `json:"result"` // of a save
	Seq    int64           `json:"_seq_no"`
	Term   int64           `json:"_primary_term"`
	Source json.RawMessage `json:"_source"`
}

// saved is what was saved. Of a document that somebody has changed by hand it is as
// much as can be read; data is then the document as it is.
func (s *stored) saved() (doc savedCheckpoint, data []byte) {
	if err := json.Unmarshal(s.Source, &doc); err != nil || doc.Data == "" {
		return doc, append([]byte{}, s.Source...)
	}
	return doc, []byte(doc.Data)
}

func (s *stored) token() sinks.Token { return sinks.Token(fmt.Sprintf("%d:%d", s.Seq, s.Term)) }

// readCheckpoint returns nil where there is none. Only the server's own words
// count for that: a proxy's 404 must not look like a pipeline's first start.
func (s *Sink) readCheckpoint(ctx context.Context, name string) (*stored, error) {
	var found stored
	read := func() error {
		return s.client.call(ctx, http.MethodGet, "/"+checkpointsIndex+"/_doc/"+url.PathEscape(name), nil, &found)
	}
	err := read()
	if isType(err, noShard) { // the index was made a moment ago, or the server is starting
		health := "/_cluster/health/" + checkpointsIndex + "?wait_for_status=yellow&timeout=5s"
		if s.client.call(ctx, http.MethodGet, health, nil, nil) == nil {
			err = read()
		}
	}
	var e *apiError
	switch {
	case err == nil:
		return &found, nil
	case isType(err, indexNotFound):
		return nil, nil
	case errors.As(err, &e) && e.Status == http.StatusNotFound &&
		json.Unmarshal(e.Body, &found) == nil && found.Found != nil && !*found.Found:
		return nil, nil
	}
	return nil, fmt.Errorf("read checkpoint: %w", err)
}

// LoadCheckpoint implements sinks.Sink.
func (s *Sink) LoadCheckpoint(ctx context.Context, name string) ([]byte, sinks.Token, error) {
	found, err := s.readCheckpoint(ctx, name)
	if err != nil || found == nil {
		return nil, "", err
	}
	_, data := found.saved()
	return data, found.token(), nil
}

// SaveCheckpoint implements sinks.Sink. Each save carries a mark of its own.
// Where an answer is lost, the save may still have happened, or happen later:
// a conflict with such a save is not one with another daemon.
func (s *Sink) SaveCheckpoint(ctx context.Context, name string, data []byte, token sinks.Token) (sinks.Token, error) {
	if !utf8.Valid(data) {
		return "", errors.New("save checkpoint: it is not UTF-8")
	}
	doc := savedCheckpoint{Owner: s.opts.Owner, Saved: time.Now().UTC(), Mark: rand.Text(), Data: string(data)}
	for {
		cond, err := condition(token)
		if err != nil {
			return "", fmt.Errorf("save checkpoint: %w", err)
		}
		next, err := s.putCheckpoint(ctx, name, &doc, cond)
		if err == nil {
			delete(s.lostSave, name)
			return next, nil
		}
		var e *apiError
		if known := errors.As(err, &e) && e.Status < 500; !known {
			s.lostSave[name] = append(s.lostSave[name], doc.Mark)
		} else if e.Status != http.StatusConflict {
			return "", fmt.Errorf("save checkpoint: %w", err)
		}
		found, readErr := s.readCheckpoint(ctx, name)
		var there savedCheckpoint
		if found != nil {
			there, _ = found.saved()
		}
		switch {
		case readErr != nil:
			return "", fmt.Errorf("save checkpoint: %w", errors.Join(err, readErr))
		case there.Mark == doc.Mark:
			delete(s.lostSave, name)
			return found.token(), nil
		case e == nil || e.Status != http.StatusConflict:
			return "", fmt.Errorf("save checkpoint: %w", err)
		case found == nil:
			return "", fmt.Errorf("%w: the checkpoint %s was removed", sinks.ErrConflict, name)
		case !slices.Contains(s.lostSave[name], there.Mark):
			return "", fmt.Errorf("%w, at %s", sinks.ErrConflict, there.Saved.Format(time.RFC3339))
		}
		token = found.token()
	}
}

// condition makes a write count only where the document is still the token's.
func condition(token sinks.Token) (string, error) {
	if token == "" {
		return "op_type=create", nil
	}
	seq, term, _ := strings.Cut(string(token), ":")
	_, seqErr := strconv.ParseInt(seq, 10, 64)
	_, termErr := strconv.ParseInt(term, 10, 64)
	if err := errors.Join(seqErr, termErr); err != nil {
		return "", fmt.Errorf("%q is not a token of this sink: %w", token, err)
	}
	return "if_seq_no=" + seq + "&if_primary_term=" + term, nil
}

// putCheckpoint is one compare-and-swap.
func (s *Sink) putCheckpoint(ctx context.Context, name string, doc *savedCheckpoint, condition string) (sinks.Token, error) {
	body, err := json.Marshal(doc)
	if err != nil {
		return "", err
	}
	path := "/" + sinks.WriteAlias(checkpointsIndex) + "/_doc/" + url.PathEscape(name) + "?require_alias=true&" + condition
	var saved stored
	err = s.client.call(ctx, http.MethodPut, path, body, &saved)
	if isType(err, indexNotFound) {
		if _, err := s.ensure(ctx, checkpointsIndex, checkpointsSpec); err != nil {
			return "", err
		}
		err = s.client.call(ctx, http.MethodPut, path, body, &saved)
	}
	if err == nil && saved.Result == noop {
		err = errors.New("an ingest pipeline drops it; " + noPipeline(checkpointsIndex))
	}
	return saved.token(), err
}

// RemoveCheckpoint implements sinks.Sink.
func (s *Sink) RemoveCheckpoint(ctx context.Context, name string) error {
	found, err := s.readCheckpoint(ctx, name)
	if err != nil || found == nil {
		return err
	}
	if err := s.client.call(ctx, http.MethodDelete, "/"+checkpointsIndex+"/_doc/"+url.PathEscape(name), nil, nil); err != nil {
		return fmt.Errorf("remove checkpoint: %w", err)
	}
	return nil
}
