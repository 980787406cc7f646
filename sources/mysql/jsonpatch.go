package mysql

import (
	"errors"
	"strconv"

	"github.com/go-mysql-org/go-mysql/mysql"

	"haystream/sources"
)

// Operations of a JSON diff (MySQL source, sql-common/json_diff.h).
const (
	diffReplace = iota
	diffInsert
	diffRemove
)

var errDiff = errors.New("the change of a part of a JSON value in the log is not as expected")

// appendDiffs appends what the log has of a JSON value that was changed in
// parts as a patch (see sources.ApplyPatch); nothing where nothing has changed.
// Each part has its operation, its path and but for a removal its value, each
// behind its length (MySQL source, sql-common/json_diff.cc, Json_diff_vector::read_binary).
func appendDiffs(dst, data []byte) ([]byte, error) {
	for first := true; len(data) > 0; first = false {
		operation := data[0]
		path, rest, err := prefixed(data[1:])
		if err != nil {
			return dst, err
		}
		verbs := []string{diffReplace: `["replace", `, diffInsert: `["insert", `, diffRemove: `["remove", `}
		if int(operation) >= len(verbs) {
			return dst, errDiff
		}
		open := byte(',')
		if first {
			open = '['
		}
		dst = append(append(dst, open), verbs[operation]...)
		if dst, err = appendPath(dst, path); err != nil {
			return dst, err
		}
		if operation != diffRemove {
			var value []byte
			if value, rest, err = prefixed(rest); err != nil {
				return dst, err
			}
			if dst, err = convertJSONB(append(dst, ", "...), value); err != nil {
				return dst, err
			}
		}
		dst, data = append(dst, ']'), rest
		if len(data) == 0 {
			dst = append(dst, ']')
		}
	}
	return dst, nil
}

// prefixed takes off what is behind its length.
func prefixed(data []byte) (value, rest []byte, err error) {
	padded := data
	if len(data) < 9 {
		padded = append(make([]byte, 0, 16), data...)[:9]
	}
	length, null, size := mysql.LengthEncodedInt(padded)
	if null || size > len(data) || length > uint64(len(data)-size) {
		return nil, nil, errDiff
	}
	end := size + int(length)
	return data[size:end], data[end:], nil
}

// appendPath appends the legs of a path such as $.a[3]."k k"[last-1] as a patch has them.
func appendPath(dst, path []byte) ([]byte, error) {
	if len(path) == 0 || path[0] != '$' {
		return dst, errDiff
	}
	dst = append(dst, '[')
	for at := 1; at < len(path); {
		if at > 1 {
			dst = append(dst, ',')
		}
		end := at + 1
		switch {
		case path[at] == '[':
			for end < len(path) && path[end] != ']' {
				end++
			}
			index, err := elementIndex(string(path[at+1 : end]))
			if err != nil || end == len(path) {
				return dst, errDiff
			}
			dst = strconv.AppendInt(dst, int64(index), 10)
			end++
		case path[at] == '.' && end < len(path) && path[end] == '"':
			for end++; end < len(path) && path[end] != '"'; end++ {
				if path[end] == '\\' {
					end++
				}
			}
			if end >= len(path) {
				return dst, errDiff
			}
			end++
			dst = append(dst, path[at+1:end]...)
		case path[at] == '.':
			for end < len(path) && path[end] != '.' && path[end] != '[' {
				end++
			}
			dst = appendMySQLString(dst, path[at+1:end])
		default:
			return dst, errDiff
		}
		at = end
	}
	return append(dst, ']'), nil
}

// elementIndex reads 3, last or last-1.
func elementIndex(text string) (int, error) {
	const last = "last"
	if len(text) < len(last) || text[:len(last)] != last {
		return strconv.Atoi(text)
	}
	if text == last {
		return -1, nil
	}
	n, err := strconv.Atoi(text[len(last):])
	return n - 1, err
}

// part adds a JSON value of which the image has the changed parts only.
func (r *rowReader) part(a *sources.Arena, i int, diffs []byte, old sources.Row) error {
	var err error
	if r.patch, err = appendDiffs(r.patch[:0], diffs); err != nil {
		return err
	}
	switch {
	case len(r.patch) == 0:
		a.Copy(old, i)
	case old.Missing(i):
		a.Patch(r.patch)
	default:
		text, err := sources.ApplyPatch(a.Buffer(), old.Text(i), r.patch)
		if err != nil {
			return err
		}
		a.Value(text)
	}
	return nil
}
