package servers

import (
	"archive/zip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeMaven puts a program named mvn in front of PATH. It writes its first answer to the output directory, and later ones the second.
func fakeMaven(t *testing.T, first, later string) {
	t.Helper()
	dir := t.TempDir()
	script := `#!/bin/sh
for argument; do case $argument in -DoutputDirectory=*) to=${argument#*=};; esac; done
if [ -e "$0.ran" ]; then printf '` + later + `'; else touch "$0.ran"; printf '` + first + `'; fi >"$to/thing-1.0.jar"
`
	if err := os.WriteFile(filepath.Join(dir, "mvn"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// wholeArtifact is an artifact whose bytes are "content".
func wholeArtifact() artifact {
	return artifact{"org.example:thing:1.0:jar", "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"}
}

func TestDownloadIsFetchedAnewWhenItsChecksumIsWrong(t *testing.T) {
	fakeMaven(t, "cont", "content")
	store := cache{t.TempDir()}
	path, err := download(t.Context(), store, t.TempDir(), wholeArtifact())
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "content" {
		t.Errorf("content = %q, %v", text, err)
	}
}

func TestDownloadWithAnotherChecksumIsRefused(t *testing.T) {
	fakeMaven(t, "other", "other")
	store := cache{t.TempDir()}
	_, err := download(t.Context(), store, t.TempDir(), wholeArtifact())
	if err == nil || !strings.Contains(err.Error(), "checksum of thing-1.0.jar") {
		t.Errorf("error = %v, want one about the checksum", err)
	}
}

func TestUnzipStaysInItsFolder(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "bad.zip")
	file, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	writer := zip.NewWriter(file)
	if _, err := writer.Create("top/../../escaped"); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unzip(archive, t.TempDir(), 1); err == nil {
		t.Error("unpacked a name that leaves the archive")
	}
}

func TestReleasesArePinned(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range releases() {
		if len(r.packages.names) > 0 && r.packages.suite == "" {
			t.Errorf("%s names no suite of Debian", r.name())
		}
		var artifacts []artifact
		if len(r.packages.names) == 0 || r.archive.coordinates != "" {
			artifacts = append(artifacts, r.archive)
		}
		for _, m := range r.modules {
			artifacts = append(artifacts, m.jar)
		}
		for _, a := range artifacts {
			if len(a.sha256) != 64 || strings.Count(a.coordinates, ":") != 3 || seen[a.sha256] {
				t.Errorf("%s is not pinned: %+v", r.name(), a)
			}
			seen[a.sha256] = true
		}
	}
}

func TestVersionsOfTheNightlyRun(t *testing.T) {
	t.Setenv("HAYSTREAM_TEST_VERSIONS", "default")
	if got := strings.Join(PostgresVersions(), " "); got != "15 18" {
		t.Errorf("default: %s", got)
	}
	if got := strings.Join(append(MySQLVersions(), MariaDBVersions()...), " "); got != "8.0 11.8" {
		t.Errorf("default: %s", got)
	}
	t.Setenv("HAYSTREAM_TEST_VERSIONS", "all")
	if got := strings.Join(PostgresVersions(), " "); got != "15 16 17 18" {
		t.Errorf("all: %s", got)
	}
	if got := strings.Join(append(MySQLVersions(), MariaDBVersions()...), " "); got != "8.0 9.7 10.11 11.8" {
		t.Errorf("all: %s", got)
	}
}
