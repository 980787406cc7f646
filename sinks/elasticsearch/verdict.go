package elasticsearch

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"haystream/sinks"
)

// A verdict is what the sink's answer to an action means for it.
type verdict uint8

const (
	delivered   verdict = iota // held
	superseded                 // a newer version is there, so it is held as well
	dropped                    // the ingest pipeline wants no such document; there is nothing to hold
	impossible                 // refused for good: a dead letter
	overloaded                 // refused for now: slow down, send again
	unavailable                // no answer, or one that passes: send again
	blocked                    // waits for a person: send again
)

// judge applies the table of answers to one item of a bulk response. The type
// of the error goes before the status: one block is a 403 or a 429, depending
// on the server's version.
func judge(a *answer, to *sinks.Action) verdict {
	switch {
	case a.failureStore:
		return impossible
	case a.dropped:
		return dropped
	case a.status/100 == 2, a.status == http.StatusNotFound && a.typ == "":
		return delivered
	case a.typ == versionConflict:
		return superseded
	case waitsForPeople(a.status, a.typ, a.reason):
		return blocked
	case isOverload(a.status, a.typ):
		return overloaded
	case a.status == http.StatusRequestEntityTooLarge && to.Op == sinks.OpDelete:
		return unavailable // it has no document that could be too large
	case a.status == http.StatusBadRequest, a.status == http.StatusRequestEntityTooLarge:
		return impossible
	case a.status == http.StatusInternalServerError && to.Target.Pipeline != "" && to.Op == sinks.OpIndex:
		return impossible // a processor of the ingest pipeline failed on this document
	case a.status >= 500:
		return unavailable
	}
	return blocked
}

// waitsForPeople tells errors that no document causes and that time alone does not mend.
func waitsForPeople(status int, typ, reason string) bool {
	switch typ {
	case "cluster_block_exception", "index_not_found_exception", "index_closed_exception",
		"security_exception", "aliases_not_found_exception", "invalid_index_name_exception":
		return true
	case "illegal_argument_exception":
		for _, of := range []string{"pipeline with id [", "no write index is defined for alias", "Alias [", "only write ops with an op_type of create"} {
			if strings.HasPrefix(reason, of) {
				return true
			}
		}
		return false
	}
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

func isOverload(status int, typ string) bool {
	return status == http.StatusTooManyRequests || typ == "circuit_breaking_exception" || typ == "es_rejected_execution_exception" || typ == "rejected_execution_exception"
}

// isDocumentError tells, of an error that answers a whole request, those that
// one of its documents may have caused.
func isDocumentError(e *apiError) bool {
	return e.Status == http.StatusRequestEntityTooLarge ||
		e.Status == http.StatusBadRequest && e.Type != "" && !waitsForPeople(e.Status, e.Type, e.Reason)
}

// judgeRequest says what the failure of a whole request means.
func judgeRequest(err error) verdict {
	var e *apiError
	switch {
	case !errors.As(err, &e):
		return unavailable
	case waitsForPeople(e.Status, e.Type, e.Reason):
		return blocked
	case isOverload(e.Status, e.Type):
		return overloaded
	case isDocumentError(e):
		return impossible
	case e.Status >= 500, e.Status == http.StatusRequestTimeout:
		return unavailable
	}
	return blocked
}

// remedy says what a person can do about an error that waits for one. Reasons
// are quoted only where they cannot hold a row's values.
func remedy(status int, typ, reason, physical string) string {
	switch {
	case status == http.StatusUnauthorized:
		return "the server refuses the credentials (401); check api_key, or username and password"
	case typ == "index_not_found_exception" || typ == "aliases_not_found_exception":
		alias := sinks.WriteAlias(physical)
		return fmt.Sprintf(`the write alias %s is missing, or the index with it; while haystream runs it sees to both within seconds: the index is built anew, the alias is put back as by POST /_aliases {"actions":[{"add":{"index":%q,"alias":%q}}]}`, alias, physical, alias)
	case typ == "index_closed_exception":
		return fmt.Sprintf("the index is closed; open it with POST /%s/_open", physical)
	case typ == "cluster_block_exception" && strings.Contains(reason, "flood-stage"):
		return "a node's disk is full past the flood stage; free space or add nodes, and the block goes by itself: " + reason
	case typ == "cluster_block_exception" && strings.Contains(reason, "cluster read-only"):
		return `the cluster is read-only; allow writes with PUT /_cluster/settings {"persistent":{"cluster.blocks.read_only":null,"cluster.blocks.read_only_allow_delete":null}}`
	case typ == "cluster_block_exception":
		return fmt.Sprintf(`writes are blocked: %s; allow them with PUT /%s/_settings {"index.blocks.write":null,"index.blocks.read_only":null,"index.blocks.read_only_allow_delete":null}`, reason, physical)
	case typ == "security_exception" || status == http.StatusForbidden:
		return "the server refuses access (403); grant the user or key the privileges that `haystream check` lists: " + reason
	case strings.HasPrefix(reason, "pipeline with id ["):
		return reason + "; create this ingest pipeline, or take it out of what names it: `pipeline` in the definition, or the settings index.default_pipeline and index.final_pipeline of " + physical
	case strings.HasPrefix(reason, "Alias ["), strings.HasPrefix(reason, "only write ops"):
		return fmt.Sprintf("the write alias %s was changed by hand; it must be a plain alias of %s: %s", sinks.WriteAlias(physical), physical, reason)
	case strings.HasPrefix(reason, "no write index is defined for alias"):
		return fmt.Sprintf("the write alias %s points to more than one index; leave it on %s only", sinks.WriteAlias(physical), physical)
	}
	return strings.TrimSpace(fmt.Sprintf("the server, or a proxy before it, answers %d %s", status, typ))
}
