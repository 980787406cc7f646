//go:build !race

package sources

const spoils = false
