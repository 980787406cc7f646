// Package bulk writes the lines of Elasticsearch's bulk API.
//
// The guarantee: every line names the document's Version and a write alias, so
// that whoever sends the lines, in any order and as often as they like, never
// overwrites a document by an older state, nor creates an index by accident.
// See "Bulk API" and "Index API, versioning" in the Elasticsearch reference.
package bulk

import (
	"strconv"

	"haystream/internal/fault"
	"haystream/sinks"
)

// AppendLine appends the metadata line of an action, line break included. For
// an OpIndex the document's own line follows it.
func AppendLine(dst []byte, a *sinks.Action) []byte {
	if a.Op == sinks.OpDelete {
		dst = append(dst, `{"delete":{"_index":`...)
	} else {
		dst = append(dst, `{"index":{"_index":`...)
	}
	dst = AppendString(dst, a.Target.WriteAlias)
	dst = append(dst, `,"_id":`...)
	dst = AppendString(dst, a.ID)
	if !fault.Planted("versions off") {
		dst = append(dst, `,"version":`...)
		dst = strconv.AppendInt(dst, a.Version, 10)
		dst = append(dst, `,"version_type":"external_gte"`...)
	}
	dst = append(dst, `,"require_alias":true`...)
	if a.Routing != nil {
		dst = append(dst, `,"routing":`...)
		dst = AppendString(dst, a.Routing)
	}
	if a.Target.Pipeline != "" && a.Op == sinks.OpIndex {
		dst = append(dst, `,"pipeline":`...)
		dst = AppendString(dst, a.Target.Pipeline)
	}
	return append(dst, "}}\n"...)
}

// AppendAction appends all lines of an action.
func AppendAction(dst []byte, a *sinks.Action) []byte {
	dst = AppendLine(dst, a)
	if a.Op == sinks.OpIndex {
		dst = append(append(dst, a.Body...), '\n')
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// AppendString appends text as a JSON string. Bytes that are not UTF-8 stay as
// they are: to replace them could make two ids one.
func AppendString[T string | []byte](dst []byte, text T) []byte {
	dst = append(dst, '"')
	start := 0
	for i := range len(text) {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[start:i]...)
		start = i + 1
		if c < ' ' {
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		} else {
			dst = append(dst, '\\', c)
		}
	}
	dst = append(dst, text[start:]...)
	return append(dst, '"')
}
