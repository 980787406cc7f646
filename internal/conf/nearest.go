package conf

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Nearest returns the candidate that name was most likely meant to be, or ""
// when none is near: an edit distance of a third of the longer word at most,
// letter case aside. Of equally near ones the first wins. A name that is a
// candidate itself was meant to be nothing else.
func Nearest(name string, candidates []string) string {
	if slices.Contains(candidates, name) {
		return ""
	}
	lower := []rune(strings.ToLower(name))
	best, bestDistance := "", len(lower)+1
	for _, c := range candidates {
		other := []rune(strings.ToLower(c))
		d := editDistance(lower, other)
		if d < bestDistance && d <= max(1, max(len(lower), len(other))/3) && d < min(len(lower), len(other)) {
			best, bestDistance = c, d
		}
	}
	return best
}

// DidYouMean is the end of a message about an unknown name: `; did you mean
// "title"?`, or "" when no candidate is near. Where the two differ in characters beyond
// ASCII, which may look like others or like nothing, they are written as numbers, too.
func DidYouMean(name string, candidates []string) string {
	near := Nearest(name, candidates)
	if near == "" {
		return ""
	}
	hint := `; did you mean "` + near + `"?`
	if differBeyondASCII(name, near) {
		hint += " The two are " + strconv.QuoteToASCII(name) + " and " + strconv.QuoteToASCII(near)
	}
	return hint
}

// differBeyondASCII reports whether what one text has and the other has not is not all ASCII.
func differBeyondASCII(a, b string) bool {
	count := map[rune]int{}
	for _, r := range a {
		count[r]++
	}
	for _, r := range b {
		count[r]--
	}
	for r, n := range count {
		if n != 0 && r > unicode.MaxASCII {
			return true
		}
	}
	return false
}

// editDistance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b (optimal string alignment).
func editDistance(a, b []rune) int {
	before, previous, current := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range a {
		current[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			current[j+1] = min(previous[j]+cost, previous[j+1]+1, current[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				current[j+1] = min(current[j+1], before[j-1]+1)
			}
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}
