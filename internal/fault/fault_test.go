package fault

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestMain passes points where it is run as a child.
func TestMain(m *testing.M) {
	if os.Getenv("FAULT_CHILD") == "" {
		os.Exit(m.Run())
	}
	for n := range 3 {
		fmt.Println(n, Planted("upside down"))
		Point("other")
		Point("here")
	}
}

func TestPointKillsWhereItIsTold(t *testing.T) {
	for _, c := range []struct {
		environment, out string
		killed           bool
	}{
		{"", "0 false\n1 false\n2 false\n", false},
		{"HAYSTREAM_FAULT=elsewhere", "0 false\n1 false\n2 false\n", false},
		{"HAYSTREAM_FAULT=here", "0 false\n", true},
		{"HAYSTREAM_FAULT=here:3", "0 false\n1 false\n2 false\n", true},
		{"HAYSTREAM_FAULT=here:4", "0 false\n1 false\n2 false\n", false},
		{"HAYSTREAM_BUG=upside down", "0 true\n1 true\n2 true\n", false},
		{"HAYSTREAM_BUG=another", "0 false\n1 false\n2 false\n", false},
	} {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "FAULT_CHILD=1", c.environment)
		var said strings.Builder
		child.Stderr = &said
		out, err := child.Output()
		status, _ := child.ProcessState.Sys().(syscall.WaitStatus)
		if killed := status.Signaled() && status.Signal() == syscall.SIGKILL; killed != c.killed || !killed && err != nil || string(out) != c.out {
			t.Errorf("%s: prints %q and ends with %v", c.environment, out, err)
		}
		if strings.Contains(said.String(), "fault: here\n") != c.killed {
			t.Errorf("%s: says %q", c.environment, said.String())
		}
	}
}

// A point that is off must cost nothing that counts, nor allocate.
func BenchmarkPoint(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Point("here")
	}
}
