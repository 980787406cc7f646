package django

import (
	"html"
	"net/url"
	"regexp"
	"strings"
)

var (
	wordBreaks = regexp.MustCompile(`[\s\x1c-\x1f<>"']+`)
	wholeURL   = regexp.MustCompile(`(?i)^https?://\[?[\pL\pN_]`)
	bareURL    = regexp.MustCompile(`(?i)^www\.|^[\pL\pN_][^@]+\.(com|edu|gov|int|mil|net|org)($|/[^\n]*$)`)
	mailUser   = regexp.MustCompile("(?i)^[-!#$%&'*+/=?^_`{}|~0-9A-Z]+(\\.[-!#$%&'*+/=?^_`{}|~0-9A-Z]+)*$")
	mailLabel  = regexp.MustCompile(`(?i)^[a-z\x{a1}-\x{ffff}0-9-]{1,63}$`)
	mailTop    = regexp.MustCompile(`(?i)^([a-z\x{a1}-\x{ffff}-]{2,63}|xn--[a-z0-9]{1,59})$`)
)

func urlizeTrunc(x input) (Value, error) {
	limit, err := x.arg.toSmall()
	if err != nil {
		return x.v, failure("urlizetrunc wants a whole number, not %q", x.arg)
	}
	return safeText(urlize(x, limit)), nil
}

// urlize makes links of URLs and mail addresses in text; limit is the most characters
// that are shown of one, or -1.
func urlize(x input, limit int) string {
	l := linker{safe: x.v.safe, escape: x.escape, limit: limit, cut: x.arg.kind != missing}
	var out strings.Builder
	text := x.v.text
	for text != "" {
		at := wordBreaks.FindStringIndex(text)
		if at == nil {
			at = []int{len(text), len(text)}
		}
		out.WriteString(l.word(text[:at[0]]))
		out.WriteString(l.plain(text[at[0]:at[1]]))
		text = text[at[1]:]
	}
	return out.String()
}

type linker struct {
	safe, escape, cut bool
	limit             int
}

func (l *linker) plain(s string) string {
	if l.escape && !l.safe {
		return escapeText(s)
	}
	return s
}

const longestURL = 2048

func (l *linker) word(word string) string {
	if !strings.ContainsAny(word, ".@:") {
		return l.plain(word)
	}
	lead, middle, trail := trimPunctuation(word)
	target, rel := "", ` rel="nofollow"`
	switch fits := runes(middle) <= longestURL; {
	case fits && wholeURL.MatchString(middle):
		target = quoteLink(html.UnescapeString(middle))
	case fits && bareURL.MatchString(middle) && !(strings.HasPrefix(strings.ToLower(middle), "http") && !strings.HasPrefix(strings.ToLower(middle), "www.")):
		target = quoteLink("http://" + html.UnescapeString(middle))
	case !strings.Contains(middle, ":") && isMail(middle):
		at := strings.LastIndexByte(middle, '@')
		target, rel = "mailto:"+quoteURL(middle[:at], "")+"@"+quoteURL(middle[at+1:], ""), ""
	}
	if target == "" {
		return l.plain(word)
	}
	shown := middle
	if r := []rune(middle); l.cut && len(r) > l.limit {
		shown = string(r[:max(0, l.limit-1)]) + ellipsis
	}
	return l.plain(lead) + `<a href="` + escapeText(target) + `"` + rel + `>` + l.plain(shown) + `</a>` + l.plain(trail)
}

func isMail(s string) bool {
	at := strings.LastIndexByte(s, '@')
	if at < 0 || runes(s) > 320 || !mailUser.MatchString(s[:at]) {
		return false
	}
	labels := strings.Split(s[at+1:], ".")
	for i, label := range labels {
		ok := mailLabel.MatchString(label)
		if last := i == len(labels)-1; last {
			ok = mailTop.MatchString(label)
		}
		if !ok || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
	}
	return len(labels) > 1
}

const trailing = ".,:;!"

// trimPunctuation takes what stands around a URL off a word.
func trimPunctuation(word string) (lead, middle, trail string) {
	middle = strings.TrimLeft(word, "([")
	lead = word[:len(word)-len(middle)]
	counts := map[string]int{}
	for _, c := range []string{"(", ")", "[", "]"} {
		counts[c] = strings.Count(middle, c)
	}
	for trimmed := true; trimmed && middle != ""; {
		trimmed = false
		for _, pair := range []string{"()", "[]"} {
			opening, closing := pair[:1], pair[1:]
			if counts[opening] < counts[closing] && strings.HasSuffix(middle, closing) {
				n := min(counts[closing]-counts[opening], len(middle))
				trail = middle[len(middle)-n:]
				middle = middle[:len(middle)-n]
				counts[closing] -= n
				trimmed = true
			}
		}
		amp := strings.LastIndexByte(middle, '&')
		set := trailing
		if amp >= 0 {
			set = strings.ReplaceAll(trailing, ";", "")
		}
		if cut := strings.TrimRight(middle, set); cut != middle {
			trail, middle, trimmed = middle[len(cut):]+trail, cut, true
		}
		if !strings.HasSuffix(middle, ";") {
			continue
		}
		entity := middle[max(amp, 0):]
		if amp < 0 {
			entity = middle[len(middle)-1:]
		}
		if decoded := html.UnescapeString(entity); decoded != entity && !strings.HasSuffix(decoded, ";") {
			continue
		}
		cut := strings.TrimRight(middle, trailing)
		start := len(cut)
		if amp >= 0 && len(middle)-len(strings.TrimRight(middle, ";")) > 1 {
			end := start + strings.IndexByte(middle[start:], ';') + 1
			trail, middle = middle[end:]+trail, cut+middle[start:end]
		} else {
			trail, middle = middle[start:]+trail, cut
		}
		trimmed = true
	}
	return lead, middle, trail
}

const (
	subDelims = "!$&'()*+,;="
	genDelims = ":/?#[]@"
)

// quoteLink quotes a URL that is not quoted yet.
func quoteLink(s string) string {
	again := func(part string) string { return quoteURL(unquoteURL(part), subDelims+genDelims+"~") }
	rest, fragment, hasFragment := strings.Cut(s, "#")
	rest, query, hasQuery := strings.Cut(rest, "?")
	scheme, rest, _ := strings.Cut(rest, "://")
	host, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	out := strings.ToLower(scheme) + "://" + again(host) + again(path)
	if hasQuery && query != "" {
		out += "?" + quoteQuery(query)
	}
	if hasFragment && fragment != "" {
		out += "#" + again(fragment)
	}
	return out
}

func unquoteURL(s string) string {
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if decoded, err := url.PathUnescape(s[i : i+3]); err == nil {
				out = append(out, decoded...)
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return strings.ToValidUTF8(string(out), "\ufffd")
}

func quoteQuery(query string) string {
	var out []string
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		key, v, _ := strings.Cut(pair, "=")
		quote := func(s string) string {
			s = unquoteURL(unquoteURL(strings.ReplaceAll(s, "+", " ")))
			return strings.ReplaceAll(quoteURL(s, " "), " ", "+")
		}
		out = append(out, quote(key)+"="+quote(v))
	}
	return strings.Join(out, "&")
}
