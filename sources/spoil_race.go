//go:build race

package sources

// spoils: rows that are forgotten are overwritten, so that tests see who still uses them.
const spoils = true
