package django

// A LoneEnd is the end of a tag, in text, that no tag has begun.
type LoneEnd struct {
	Text string // }}, %} or #}
	At   int    // its offset
}

// Braces finds them in the text of a template, piece by piece. It counts the braces that text itself opens: they may close
// together, as in JSON.
type Braces struct {
	open  int
	begun byte // % or #: of a tag that has begun and was not closed where it has to be, which is told there
}

// LoneEnds are those of the next piece.
func (b *Braces) LoneEnds(text string) []LoneEnd {
	var found []LoneEnd
	for i := range len(text) {
		next := byte(0)
		if i+1 < len(text) {
			next = text[i+1]
		}
		switch c := text[i]; {
		case c == '{':
			b.open++
			if next == '%' || next == '#' {
				b.begun = next
			}
		case (c == '%' || c == '#') && next == '}':
			if b.begun != c {
				found = append(found, LoneEnd{text[i : i+2], i})
			}
			b.begun = 0
		case c == '}' && next == '}' && b.open < 2:
			found = append(found, LoneEnd{"}}", i})
			b.open = 2
		}
		if text[i] == '}' {
			b.open = max(0, b.open-1)
		}
	}
	return found
}
