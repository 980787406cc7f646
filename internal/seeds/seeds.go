// Package seeds gives random tests their seeds. They are the same each time, so that what fails is
// the change at hand, unless the environment asks for others:
//
//	HAYSTREAM_SEED=7       that one, to run what failed again
//	HAYSTREAM_SEED=random  as many as ever, drawn anew
//	HAYSTREAM_SEEDS=500    so many, drawn anew
package seeds

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// Of are the seeds that a test is to try, n of them by default.
func Of(t testing.TB, n int) []uint64 {
	t.Helper()
	one, number := os.Getenv("HAYSTREAM_SEED"), os.Getenv("HAYSTREAM_SEEDS")
	draw := number != "" || one == "random"
	if one != "" && one != "random" {
		seed, err := strconv.ParseUint(one, 10, 64)
		if err != nil {
			t.Fatalf("HAYSTREAM_SEED: %v", err)
		}
		return []uint64{seed}
	}
	if number != "" {
		var err error
		if n, err = strconv.Atoi(number); err != nil || n < 1 {
			t.Fatalf("HAYSTREAM_SEEDS=%s is no number of seeds", number)
		}
	}
	seeds := make([]uint64, n)
	for i := range seeds {
		seeds[i] = uint64(i + 1)
		if draw {
			seeds[i] = rand.Uint64() >> 32 // short enough to be typed
		}
	}
	return seeds
}

// One is the seed of a test that is run once. It is logged.
func One(t testing.TB) uint64 {
	t.Helper()
	seed := Of(t, 1)[0]
	t.Logf("seed %d: run again with HAYSTREAM_SEED", seed)
	return seed
}
