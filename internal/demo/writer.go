package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode"
	"unicode/utf8"
)

// writer makes up the blog's texts. Equal seeds give equal texts. Not for more than one goroutine.
type writer struct {
	*rand.Rand
	topics []topic
}

func newWriter(seed uint64) *writer {
	return &writer{rand.New(rand.NewPCG(seed, 0)), topics()}
}

func (w *writer) topic() topic { return pick(w, w.topics) }

// title of a note, at most as long as its column.
func (w *writer) title(about topic) string { return w.fill(pick(w, titlePatterns()), about) }

// summary is one sentence.
func (w *writer) summary(about topic) string { return w.fill(pick(w, sentencePatterns()), about) }

// body of a note. One in fifty is so long that the database stores it outside of its row.
func (w *writer) body(about topic) string {
	paragraphs := 2 + w.IntN(3)
	if w.IntN(50) == 0 {
		paragraphs = 60 + w.IntN(60)
	}
	var text strings.Builder
	for i := range paragraphs {
		if i > 0 {
			text.WriteString("\n\n")
		}
		for j := range 3 + w.IntN(4) {
			if j > 0 {
				text.WriteByte(' ')
			}
			text.WriteString(w.fill(pick(w, sentencePatterns()), about))
		}
	}
	return text.String()
}

// comment on a note.
func (w *writer) comment() string { return w.fill(pick(w, commentPatterns()), w.topic()) }

// person is a user's names.
type person struct{ first, last, username, email string }

// person makes up a user; the number keeps the names apart.
func (w *writer) person(number int) person {
	p := person{first: pick(w, firstNames()), last: pick(w, lastNames())}
	p.username = fmt.Sprintf("%s.%s%d", plain(p.first), plain(p.last), number)
	p.email = p.username + "@example.org"
	return p
}

// rating is between 1.0 and 5.0, or NULL where nobody has rated.
func (w *writer) rating() *string {
	if w.IntN(4) == 0 {
		return nil
	}
	tenths := 10 + w.IntN(41)
	text := fmt.Sprintf("%d.%d", tenths/10, tenths%10)
	return &text
}

// fill puts words of the topic into the pattern.
func (w *writer) fill(pattern string, about topic) string {
	var text strings.Builder
	for {
		before, rest, found := strings.Cut(pattern, "%")
		text.WriteString(before)
		if !found {
			return text.String()
		}
		var word string
		switch rest[0] {
		case 't':
			word = pick(w, about.things)
		case 'T':
			word = capital(pick(w, about.things))
		case 'p':
			word = pick(w, about.places)
		case 'd':
			word = pick(w, about.doings)
		case 'D':
			word = capital(pick(w, about.doings))
		}
		text.WriteString(word)
		pattern = rest[1:]
	}
}

func pick[T any](w *writer, from []T) T { return from[w.IntN(len(from))] }

func capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:]
}

// plain is the name as an account would have it: lower case, ASCII letters only.
func plain(name string) string {
	ascii := strings.NewReplacer("ö", "o", "é", "e", "ë", "e", "í", "i", "ı", "i", "ó", "o", "ñ", "n")
	return strings.Map(func(r rune) rune {
		if r < 'a' || r > 'z' {
			return -1
		}
		return r
	}, ascii.Replace(strings.ToLower(name)))
}

// slug is the title as a part of an address, at most 80 bytes.
func slug(title string) string {
	words := strings.FieldsFunc(strings.ToLower(title), func(r rune) bool { return r < 'a' || r > 'z' })
	text := strings.Join(words, "-")
	return strings.Trim(text[:min(len(text), 80)], "-")
}
