package conf

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// expand puts environment variables into a text: ${NAME} must be set,
// ${NAME:-default} takes the default where NAME is unset or empty, and $${ is
// a literal ${. A lone $ is itself.
func expand(text string) (string, error) {
	var b strings.Builder
	for {
		at := strings.Index(text, "${")
		if at < 0 {
			b.WriteString(text)
			return b.String(), nil
		}
		if at > 0 && text[at-1] == '$' {
			b.WriteString(text[:at-1] + "${")
			text = text[at+2:]
			continue
		}
		b.WriteString(text[:at])
		inside, rest, closed := strings.Cut(text[at+2:], "}")
		if !closed {
			return "", errors.New("${ has no closing }; write $${ for a literal ${")
		}
		value, err := lookup(inside)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		text = rest
	}
}

// lookup is the value of what stands between ${ and }.
func lookup(inside string) (string, error) {
	name, fallback, hasFallback := strings.Cut(inside, ":-")
	if !isVariableName(name) {
		return "", errors.New("${…} does not name an environment variable; write $${ for a literal ${") // what is inside may be a part of a password
	}
	value, set := os.LookupEnv(name)
	switch {
	case hasFallback && value == "":
		return fallback, nil
	case !set:
		return "", fmt.Errorf("the environment variable %s is not set; set it, or give a default: ${%s:-default}", name, name)
	}
	return value, nil
}

func isVariableName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
