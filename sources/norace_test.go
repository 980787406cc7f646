//go:build !race

package sources

const pooled = true
