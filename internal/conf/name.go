package conf

import "regexp"

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)

// ValidName reports whether a text can be a name that is a part of paths and URLs.
func ValidName(name string) bool { return validName.MatchString(name) }

// NameForm is what a valid name is like, for messages.
const NameForm = "must be letters, digits, _, . and -, at most 100, the first a letter or digit"
