// Package deadletters describes the documents that a sink refused for good,
// and keeps track of those that are open.
//
// The guarantee: an entry stays open until a write of the same document at the
// same or a later version is held by the sink. The package owns no goroutine.
package deadletters

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"haystream/sinks"
)

// Types of Letter that do not come from a server.
const (
	NotRendered  = "not_rendered"       // the definition could not be rendered from the row
	TooLarge     = "document_too_large" // the server takes no request of that size
	FailureStore = "failure_store"      // the server put the document into a failure store
)

// A Letter is a dead letter: a document that was refused, and why.
type Letter struct {
	Owner    string    `json:"owner"` // the pipeline
	Index    string    `json:"index"` // the alias
	Physical string    `json:"physical"`
	DocID    string    `json:"doc_id"`
	Routing  string    `json:"routing,omitempty"`
	Version  int64     `json:"version"`
	Op       string    `json:"op"` // index or delete
	Type     string    `json:"type"`
	Reason   string    `json:"reason"` // in the words of whoever refused it
	Time     time.Time `json:"time"`
	Body     string    `json:"body,omitempty"` // the document, where it was rendered and is not too large
}

// opDelete is the Op of a delete.
const opDelete = "delete"

// Deletes reports whether it is of a delete that was refused.
func (l *Letter) Deletes() bool { return l.Op == opDelete }

// New describes an action that was refused.
func New(owner string, a *sinks.Action, typ, reason string, at time.Time) *Letter {
	l := &Letter{
		Owner: owner, Index: a.Target.Index, Physical: a.Target.Physical, DocID: string(a.ID), Routing: string(a.Routing), Version: a.Version,
		Op: "index", Type: typ, Reason: reason, Time: at.UTC(),
	}
	switch a.Op {
	case sinks.OpDelete:
		l.Op = opDelete
	case sinks.OpReject:
		l.Type, l.Reason = NotRendered, string(a.Body)
	default:
		l.Body = string(a.Body)
	}
	return l
}

// ID is the id of the Letter's own document: one per physical index and document.
func (l *Letter) ID() string { return ID(l.Physical, l.DocID) }

// maxID is the longest document id that Elasticsearch takes, in bytes.
const maxID = 512

// ID is the id of the dead letter of a document.
func ID(physical, docID string) string {
	id := physical + ":" + docID
	if len(id) <= maxID {
		return id
	}
	sum := sha256.Sum256([]byte(docID))
	return physical + ":" + hex.EncodeToString(sum[:])
}

// JSON is the Letter on one line.
func (l *Letter) JSON() []byte {
	text, _ := json.Marshal(l) // strings, a number and a time of this millennium encode
	return text
}
