package rowstore

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// childDir makes this program the process that TestKill kills and TestLocked meets.
const childDir = "ROWSTORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}
