package conf

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// plainScalar is what YAML reads as a text without quotes, but for words that mean something.
var plainScalar = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// words are those that some reader of YAML takes for other than texts.
var words = []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}

// Quote is a text as a YAML value that Load reads back as it is, on one line.
func Quote(text string) string {
	return QuoteKey(strings.ReplaceAll(text, "${", "$${"))
}

// QuoteKey does so for a key, in which variables are not filled in.
func QuoteKey(text string) string {
	if plainScalar.MatchString(text) && !slices.Contains(words, strings.ToLower(text)) {
		return text
	}
	return strconv.Quote(text)
}

// QuoteList is one text, or a list, as a YAML value on one line.
func QuoteList(texts []string) string {
	if len(texts) == 1 {
		return Quote(texts[0])
	}
	quoted := make([]string, len(texts))
	for i := range texts {
		quoted[i] = Quote(texts[i])
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
