package value

import (
	"fmt"
	"strings"
)

// Bounds on what a template or an expression may make of one row. They are far
// beyond any document that a search engine takes. What passes them is a mistake,
// and the document a dead letter.
const (
	MaxText  = 32 << 20 // bytes of a text
	maxSteps = 10_000_000
)

// A Budget is how many steps a template or an expression may still take for one row.
type Budget int

// NewBudget returns the budget for one row.
func NewBudget() *Budget { b := Budget(maxSteps); return &b }

// Take takes steps, and fails where they are too many. what takes them, for people.
func (b *Budget) Take(steps int, what string) error {
	if *b -= Budget(min(max(steps, 0), maxSteps+1)); *b < 0 {
		return fmt.Errorf("the %s takes more than %d steps for one row", what, maxSteps)
	}
	return nil
}

// Fits refuses a text that would be too long.
func Fits(n int) error {
	if n > MaxText || n < 0 {
		return fmt.Errorf("a text of more than %d MiB is made", MaxText>>20)
	}
	return nil
}

// Size is what values print as, about.
func Size(values []any) (n int) {
	for _, v := range values {
		switch v := Normalize(v).(type) {
		case string:
			n += len(v) + 1
		case []any:
			n += Size(v)
		case map[string]any:
			for name, v := range v {
				n += len(name) + Size([]any{v})
			}
		default:
			n += 16
		}
	}
	return n
}

// ReplacedSize is how long a text is after from is replaced by to.
func ReplacedSize(s, from, to string) int {
	if len(to) <= len(from) {
		return len(s)
	}
	return len(s) + strings.Count(s, from)*(len(to)-len(from))
}
