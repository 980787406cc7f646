package django

import (
	"regexp"
	"strings"
)

type tokenKind uint8

const (
	textToken tokenKind = iota
	printToken
	tagToken
	commentToken
)

// A token is a piece of a template: text, or what stands between the braces.
type token struct {
	kind tokenKind
	text string
	line int
}

// tagPattern finds tags, values and comments; none of them spans lines.
var tagPattern = regexp.MustCompile(`\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}`)

// split takes a template apart.
func split(text string) []token {
	var tokens []token
	line, verbatim := 1, ""
	add := func(kind tokenKind, text string) {
		tokens = append(tokens, token{kind, text, line})
	}
	done := 0
	for _, place := range tagPattern.FindAllStringIndex(text, -1) {
		if before := text[done:place[0]]; before != "" {
			add(textToken, before)
			line += strings.Count(before, "\n")
		}
		tag := text[place[0]:place[1]]
		content := trimSpace(tag[2 : len(tag)-2])
		done = place[1]
		switch {
		case verbatim != "" && (tag[1] != '%' || content != verbatim):
			add(textToken, tag)
		case tag[1] == '{':
			add(printToken, content)
		case tag[1] == '#':
			add(commentToken, content)
		default:
			verbatim = ""
			if content == "verbatim" || strings.HasPrefix(content, "verbatim ") {
				verbatim = "end" + content
			}
			add(tagToken, content)
		}
	}
	if rest := text[done:]; rest != "" {
		add(textToken, rest)
	}
	return tokens
}

// wordPattern finds words; quoted text does not end one.
var wordPattern = regexp.MustCompile(`[^\s'"]*(?:(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')[^\s'"]*)+|\S+`)

// words splits a tag's content. A text that is marked for translation is one word.
func words(content string) []string {
	var out []string
	found := wordPattern.FindAllString(content, -1)
	for i := 0; i < len(found); i++ {
		word := found[i]
		if strings.HasPrefix(word, `_("`) || strings.HasPrefix(word, `_('`) {
			end := word[2:3] + ")"
			for !strings.HasSuffix(word, end) && i+1 < len(found) {
				i++
				word += " " + found[i]
			}
		}
		out = append(out, word)
	}
	return out
}

// unquote is a quoted text without its quotes.
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' && s[0] != '\'' || s[len(s)-1] != s[0] {
		return s, false
	}
	quote := s[:1]
	s = strings.ReplaceAll(s[1:len(s)-1], `\`+quote, quote)
	return strings.ReplaceAll(s, `\\`, `\`), true
}

// Includes lists the files that a template includes.
func Includes(text string) []string {
	var names []string
	comment := false
	for _, t := range split(text) {
		if t.kind != tagToken {
			continue
		}
		switch words := words(t.text); {
		case len(words) == 0:
		case comment:
			comment = words[0] != "endcomment"
		case words[0] == "comment":
			comment = true
		case words[0] == "include" && len(words) > 1:
			if name, ok := unquote(words[1]); ok {
				names = append(names, name)
			}
		}
	}
	return names
}
