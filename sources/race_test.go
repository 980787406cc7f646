//go:build race

package sources

// pooled: what a sync.Pool is given comes back. The race detector drops some of it, at random.
const pooled = false
