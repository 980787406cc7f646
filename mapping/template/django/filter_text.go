package django

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"

	"haystream/mapping/value"
)

// isASCII reports whether a text has no other characters.
func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// upper, lower and titleRune change letters into as many as Unicode says.
func upper(s string) string {
	if strings.IndexFunc(s, growsUpper) < 0 {
		return strings.ToUpper(s)
	}
	return cases.Upper(language.Und).String(s)
}

func lower(s string) string {
	if !strings.ContainsAny(s, "İΣ") { // the one becomes two, the other depends on its place
		return strings.ToLower(s)
	}
	return cases.Lower(language.Und).String(s)
}

// growsUpper reports whether a letter may become several capitals.
func growsUpper(r rune) bool {
	switch r {
	case 0xdf, 0x149, 0x1f0, 0x390, 0x3b0, 0x587:
		return true
	}
	return r >= 0x1e96 && r <= 0x1fff || r >= 0xfb00 && r <= 0xfb17
}

func titleRune(s string) string {
	if isASCII(s) {
		return strings.ToUpper(s)
	}
	return cases.Title(language.Und, cases.NoLower).String(s)
}

func firstRune(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return s[:n]
}

func capFirst(s string) string {
	first := firstRune(s)
	return upper(first) + s[len(first):]
}

func isCased(r rune) bool {
	return unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r) || unicode.In(r, unicode.Other_Uppercase, unicode.Other_Lowercase)
}

// title is Python's str.title: what follows a letter is small, what does not is a capital.
func title(s string) string {
	var out strings.Builder
	inWord := false
	for i, r := range s {
		one := s[i : i+utf8.RuneLen(max(r, 0))]
		switch {
		case inWord:
			out.WriteString(lower(one))
		default:
			out.WriteString(titleRune(one))
		}
		inWord = isCased(r)
	}
	return out.String()
}

// titleFilter is title, and small letters behind an apostrophe and a digit.
func titleFilter(s string) string {
	text := []rune(title(s))
	for i := 1; i < len(text); i++ {
		r := text[i]
		switch before := text[i-1]; {
		case r < 'A' || r > 'Z':
		case unicode.IsDigit(before):
			text[i] = unicode.ToLower(r)
		case before == '\'' && i > 1 && text[i-2] >= 'a' && text[i-2] <= 'z':
			text[i] = unicode.ToLower(r)
		}
	}
	return string(text)
}

// replaceAll replaces in one pass where there are pairs of single bytes.
func replaceAll(s string, pairs ...string) string {
	if len(pairs) == 2 {
		return strings.ReplaceAll(s, pairs[0], pairs[1])
	}
	return strings.NewReplacer(pairs...).Replace(s)
}

// pad puts spaces around text, so much of them before it.
func pad(s string, width int, before float64) (string, error) {
	missing := width - runes(s)
	if missing <= 0 {
		return s, nil
	}
	if err := value.Fits(missing); err != nil {
		return s, err
	}
	left := int(before) * missing
	if before == 0.5 {
		left = missing/2 + missing&width&1
	}
	return strings.Repeat(" ", left) + s + strings.Repeat(" ", missing-left), nil
}

func fields(s string) []string { return strings.FieldsFunc(s, isSpace) }

func isLineEnd(r rune) bool {
	switch r {
	case '\n', '\v', '\f', '\r', 0x1c, 0x1d, 0x1e, 0x85, 0x2028, 0x2029:
		return true
	}
	return false
}

// splitLines is Python's str.splitlines.
func splitLines(s string) []string {
	var lines []string
	for s != "" {
		i := strings.IndexFunc(s, isLineEnd)
		if i < 0 {
			return append(lines, s)
		}
		lines = append(lines, s[:i])
		end := firstRune(s[i:])
		if s = s[i+len(end):]; end == "\r" {
			s = strings.TrimPrefix(s, "\n")
		}
	}
	return lines
}

func slugify(s string) string {
	var out strings.Builder
	if !isASCII(s) {
		s = norm.NFKD.String(s)
	}
	dash := false
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= utf8.RuneSelf:
		case isWord(c):
			if dash {
				out.WriteByte('-')
			}
			dash = false
			if c >= 'A' && c <= 'Z' {
				c |= ' '
			}
			out.WriteByte(c)
		case c == '-' || isSpace(rune(c)):
			dash = true
		}
	}
	return strings.Trim(out.String(), "-_")
}

const ellipsis = "…"

func withEllipsis(s, ellipsis string) string {
	if strings.HasSuffix(s, ellipsis) {
		return s
	}
	return s + ellipsis
}

// truncateChars cuts text to n characters, the ellipsis among them. Marks that
// combine with a character count with it.
func truncateChars(s string, n int) string {
	if n <= 0 {
		return ""
	}
	if !isASCII(s) {
		s = norm.NFC.String(s)
	}
	count, end := 0, 0
	for i, r := range s {
		if r >= utf8.RuneSelf && combines(r) {
			continue
		}
		if count++; count == n {
			end = i
		}
		if count > n {
			return withEllipsis(s[:end], ellipsis)
		}
	}
	return s
}

// combines reports whether a character has a combining class.
func combines(r rune) bool {
	return norm.NFC.PropertiesString(string(r)).CCC() != 0
}

func truncateWords(s string, n int) string {
	if n <= 0 {
		return ""
	}
	words := fields(s)
	if len(words) <= n {
		return strings.Join(words, " ")
	}
	return withEllipsis(strings.Join(words[:n], " "), " "+ellipsis)
}

// wordWrap breaks lines at spaces, so that they are no wider than a width.
func wordWrap(s string, width int) (string, error) {
	if width <= 0 {
		return s, failure("wordwrap wants a width above 0, not %d", width)
	}
	var out []string
	for _, line := range splitLines(s) {
		wrapped := wrapLine(expandTabs(line), width)
		if len(wrapped) == 0 {
			wrapped = []string{line}
		}
		out = append(out, wrapped...)
	}
	if strings.HasSuffix(s, "\n") {
		out = append(out, "")
	}
	return strings.Join(out, "\n"), nil
}

func expandTabs(s string) string {
	if !strings.Contains(s, "\t") {
		return s
	}
	var out strings.Builder
	column := 0
	for _, r := range s {
		if r != '\t' {
			out.WriteRune(r)
			column++
			continue
		}
		n := 8 - column%8
		out.WriteString(strings.Repeat(" ", n))
		column += n
	}
	return out.String()
}

// wrapLine breaks a line. Spaces at a break go; those at the front stay.
func wrapLine(s string, width int) []string {
	isBlank := func(s string) bool { return strings.Trim(s, "\t\n\v\f\r ") == "" }
	chunks := chunksOf(s)
	var lines []string
	for len(chunks) > 0 {
		if isBlank(chunks[0]) && len(lines) > 0 {
			chunks = chunks[1:]
			continue
		}
		n, length := 0, 0
		for n < len(chunks) && length+runes(chunks[n]) <= width {
			length += runes(chunks[n])
			n++
		}
		n = max(n, 1) // a word that is too long has a line of its own
		line := chunks[:n]
		chunks = chunks[n:]
		if isBlank(line[len(line)-1]) {
			line = line[:len(line)-1]
		}
		if len(line) > 0 {
			lines = append(lines, strings.Join(line, ""))
		}
	}
	return lines
}

// chunksOf splits a line into words and the spaces between them.
func chunksOf(s string) []string {
	var chunks []string
	for s != "" {
		i := 0
		blank := strings.IndexByte("\t\n\v\f\r ", s[0]) >= 0
		for i < len(s) && (strings.IndexByte("\t\n\v\f\r ", s[i]) >= 0) == blank {
			i++
		}
		chunks, s = append(chunks, s[:i]), s[i:]
	}
	return chunks
}

func lineNumbers(s string, escape bool) string {
	lines := strings.Split(s, "\n")
	width := len(strconv.Itoa(len(lines)))
	var out []byte
	for i, line := range lines {
		if i > 0 {
			out = append(out, '\n')
		}
		out = append(appendPadded(out, i+1, width), ". "...)
		if escape {
			out = appendEscaped(out, line)
		} else {
			out = append(out, line...)
		}
	}
	return string(out)
}

func normalizeLines(s string) string { return replaceAll(s, "\r\n", "\n", "\r", "\n") }

// breakLines makes HTML of line breaks.
func breakLines(s string, escape bool) string {
	if escape {
		s = escapeText(s)
	}
	return strings.ReplaceAll(s, "\n", "<br>")
}

// lineBreaks makes HTML's paragraphs and line breaks.
func lineBreaks(s string, escape bool) string {
	var out []string
	rest := normalizeLines(s)
	for {
		i := strings.Index(rest, "\n\n")
		if i < 0 {
			break
		}
		out = append(out, "<p>"+breakLines(rest[:i], escape)+"</p>")
		rest = strings.TrimLeft(rest[i:], "\n")
	}
	out = append(out, "<p>"+breakLines(rest, escape)+"</p>")
	return strings.Join(out, "\n\n")
}

func escapeJS(s string) string {
	var out []byte
	for _, r := range s {
		if r < ' ' || strings.ContainsRune("\\'\"><&=-;`\u2028\u2029", r) {
			hex := strings.ToUpper(strconv.FormatInt(int64(r), 16))
			out = append(append(append(out, `\u`...), "0000"[len(hex):]...), hex...)
			continue
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out)
}

// quoteURL percent-escapes all but letters, digits, _.-~ and what is said to be safe.
func quoteURL(s, safe string) string {
	var out []byte
	for i := range len(s) {
		c := s[i]
		if c < utf8.RuneSelf && (isWord(c) || strings.IndexByte("-.~", c) >= 0 || strings.IndexByte(safe, c) >= 0) {
			out = append(out, c)
			continue
		}
		const hex = "0123456789ABCDEF"
		out = append(out, '%', hex[c>>4], hex[c&15])
	}
	return string(out)
}

// phoneNumber makes digits of letters, as on a phone's keys.
func phoneNumber(x input) (Value, error) {
	if x.v.kind != str {
		return x.v, failure("phone2numeric wants text, not %s", x.v.typeName())
	}
	const keys = "22233344455566677778889999"
	return Text(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return rune(keys[r-'a'])
		}
		return r
	}, lower(x.v.text))), nil
}

func characters(v Value) Value {
	var out []Value
	for _, r := range v.text {
		out = append(out, Text(string(r)))
	}
	return ofList(out)
}
