// Command vulns has govulncheck look for known vulnerabilities that the program's code reaches. It fails where one is in a module
// that go.mod requires; those of Go's own library are told, with the version of Go that mends them.
//
// The database is made of the module that it is kept in, so that nothing is asked for but modules, and put into dist/vulns.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// module has an OSV file for each vulnerability in data/osv.
const module = "golang.org/x/vulndb@latest"

const (
	scanner = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"
	folder  = "dist/vulns"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "vulns:", err)
		os.Exit(1)
	}
}

func run() error {
	if err := write(folder); err != nil {
		return err
	}
	db, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	command := exec.Command("go", "run", scanner, "-format", "json", "-db", "file://"+db, "./...")
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return fmt.Errorf("run %s: %w", scanner, err)
	}
	reached, err := findings(out)
	if err != nil {
		return err
	}
	bad := 0
	for _, f := range reached {
		fmt.Println(f)
		if f.Trace[0].Module != library {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of them are in modules that go.mod requires; require the fixed versions", bad)
	}
	return nil
}

// library is what govulncheck calls Go's own.
const library = "stdlib"

// A finding is a vulnerability whose code is reached.
type finding struct {
	OSV   string `json:"osv"`
	Fixed string `json:"fixed_version"`
	Trace []struct {
		Module   string `json:"module"`
		Version  string `json:"version"`
		Package  string `json:"package"`
		Function string `json:"function"`
	} `json:"trace"`
}

func (f *finding) String() string {
	at := f.Trace[0]
	return fmt.Sprintf("%s: %s %s, in %s, which the program calls; fixed in %s: https://pkg.go.dev/vuln/%s", f.OSV, at.Module, at.Version, at.Package, f.Fixed, f.OSV)
}

// findings reads govulncheck's messages: the vulnerabilities that are reached, each once for a module.
func findings(out []byte) (reached []*finding, err error) {
	told := map[string]bool{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var message struct{ Finding *finding }
		switch err := d.Decode(&message); {
		case errors.Is(err, io.EOF):
			return reached, nil
		case err != nil:
			return nil, fmt.Errorf("read govulncheck's findings: %w", err)
		}
		f := message.Finding
		if f == nil || len(f.Trace) == 0 || f.Trace[0].Function == "" || told[f.OSV+f.Trace[0].Module] {
			continue
		}
		told[f.OSV+f.Trace[0].Module] = true
		reached = append(reached, f)
	}
}

// The files of a database, as https://go.dev/doc/security/vuln/database#api has them.
type (
	dbIndex struct {
		Modified time.Time `json:"modified"`
	}
	moduleIndex struct {
		Path  string       `json:"path"`
		Vulns []moduleVuln `json:"vulns"`
	}
	moduleVuln struct {
		ID       string    `json:"id"`
		Modified time.Time `json:"modified"`
		Fixed    string    `json:"fixed,omitempty"`
	}
	entry struct {
		ID       string    `json:"id"`
		Modified time.Time `json:"modified"`
		Affected []struct {
			Package struct {
				Name string `json:"name"`
			} `json:"package"`
		} `json:"affected"`
	}
)

func write(folder string) error {
	dir, err := download()
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dir, "data", "osv", "*.json"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("%s has no vulnerabilities: %w", module, err)
	}
	for _, sub := range []string{"ID", "index"} {
		if err := os.MkdirAll(filepath.Join(folder, sub), 0o755); err != nil {
			return err
		}
	}
	db, modules := dbIndex{}, map[string]*moduleIndex{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var e entry
		if err := json.Unmarshal(text, &e); err != nil {
			return fmt.Errorf("read %s: %w", filepath.Base(file), err)
		}
		if e.Modified.After(db.Modified) {
			db.Modified = e.Modified
		}
		for _, a := range e.Affected {
			m := modules[a.Package.Name]
			if m == nil {
				m = &moduleIndex{Path: a.Package.Name}
				modules[a.Package.Name] = m
			}
			if !slices.ContainsFunc(m.Vulns, func(v moduleVuln) bool { return v.ID == e.ID }) {
				m.Vulns = append(m.Vulns, moduleVuln{ID: e.ID, Modified: e.Modified})
			}
		}
		if err := os.WriteFile(filepath.Join(folder, "ID", filepath.Base(file)), text, 0o644); err != nil {
			return err
		}
	}
	all := make([]*moduleIndex, 0, len(modules))
	for _, m := range modules {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *moduleIndex) int { return strings.Compare(a.Path, b.Path) })
	return writeIndexes(filepath.Join(folder, "index"), map[string]any{"db.json": db, "modules.json": all})
}

func writeIndexes(folder string, files map[string]any) error {
	for name, content := range files {
		text, err := json.Marshal(content)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// download has Go fetch the module, and returns its folder.
func download() (dir string, err error) {
	command := exec.Command("go", "mod", "download", "-json", module)
	command.Stderr = os.Stderr
	out, err := command.Output()
	var found struct{ Dir, Error string }
	if failed := json.NewDecoder(bytes.NewReader(out)).Decode(&found); failed != nil || found.Dir == "" {
		return "", fmt.Errorf("download %s: %w %s", module, err, found.Error)
	}
	return found.Dir, nil
}
