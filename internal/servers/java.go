package servers

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// java is an installed Java.
type java struct {
	home    string
	version int // 17
}

// findJava returns the home of the oldest Java that will do, the nearest to what the server was made for; where there is none, it
// installs one.
func findJava(ctx context.Context, store cache, least int) (string, error) {
	if home := pickJava(installedJavas(), least); home != "" {
		return home, nil
	}
	var packages []string // a stable Debian or Ubuntu offers some of them, none offers all
	for _, version := range []int{17, 21, 25} {
		if version >= least {
			packages = append(packages, fmt.Sprintf("openjdk-%d-jre-headless", version))
		}
	}
	err := install(ctx, store, packages...)
	if home := pickJava(installedJavas(), least); home != "" {
		return home, nil
	}
	return "", fmt.Errorf("no Java %d or newer in JAVA_HOME, /usr/lib/jvm or PATH: %w; or unpack a JDK (https://adoptium.net has one for every Linux) "+
		"and type: export JAVA_HOME=ITS_FOLDER", least, err)
}

// pickJava returns the home of the oldest Java of at least that version.
func pickJava(all []java, least int) string {
	fit := slices.DeleteFunc(all, func(j java) bool { return j.version < least })
	if len(fit) == 0 {
		return ""
	}
	return slices.MinFunc(fit, func(a, b java) int { return cmp.Compare(a.version, b.version) }).home
}

// installedJavas looks at JAVA_HOME, the folders of Debian's packages, and PATH.
func installedJavas() []java {
	homes, _ := filepath.Glob("/usr/lib/jvm/*")
	if home := os.Getenv("JAVA_HOME"); home != "" {
		homes = append(homes, home)
	}
	if path, err := exec.LookPath("java"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			homes = append(homes, filepath.Dir(filepath.Dir(path)))
		}
	}
	var found []java
	for _, home := range homes {
		version := javaVersion(home)
		if version > 0 && (os.Geteuid() != 0 || reachable(home)) {
			found = append(found, java{home, version})
		}
	}
	return found
}

// javaVersion reads the main version from the home's release file; 0: there is no Java that runs.
func javaVersion(home string) int {
	if _, err := os.Stat(filepath.Join(home, "bin", "java")); err != nil {
		return 0
	}
	text, err := os.ReadFile(filepath.Join(home, "release"))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(text, []byte(`JAVA_VERSION="`))
	main, _, _ := strings.Cut(string(rest), ".")
	main, _, _ = strings.Cut(main, `"`)
	version, _ := strconv.Atoi(main)
	return version
}
