package djangotest

import (
	"os"
	"os/exec"
	"testing"

	"haystream/internal/servers"
)

// TestCommand runs the Python package's own tests, on every Django that the setups have.
func TestCommand(t *testing.T) {
	for _, s := range setups() {
		t.Run(s.django, func(t *testing.T) {
			python, err := servers.Python(t.Context(), requirements, s.django)
			if err != nil {
				t.Fatal(err)
			}
			command := exec.CommandContext(t.Context(), python, "-W", "error::SyntaxWarning", "-m", "unittest", "discover", "-s", "tests")
			command.Dir = "../../django"
			command.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
			if output, err := command.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
		})
	}
}
