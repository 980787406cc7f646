package servers

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	mavenCopy     = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
	fetchAttempts = 3
	fetchPause    = time.Second
)

// download copies the artifact into dir by Maven and returns its path. A file whose checksum is not the pinned one is fetched anew.
func download(ctx context.Context, store cache, dir string, a artifact) (string, error) {
	maven, err := tool(ctx, store, "mvn", "maven")
	if err != nil {
		return "", err
	}
	repository := filepath.Join(store.root, "m2")
	unlock, err := store.lock(ctx, "m2")
	if err != nil {
		return "", err
	}
	defer unlock()
	parts := strings.Split(a.coordinates, ":")
	group, name, version, kind := parts[0], parts[1], parts[2], parts[3]
	path := filepath.Join(dir, name+"-"+version+"."+kind)
	kept := filepath.Join(repository, filepath.Join(strings.Split(group, ".")...), name, version)
	for attempt := range fetchAttempts {
		if attempt > 0 {
			if waitErr := pause(ctx, fetchPause<<attempt); waitErr != nil {
				return "", errors.Join(err, waitErr)
			}
		}
		if err = runMaven(ctx, maven, repository, dir, a); err == nil {
			err = verify(path, a.sha256)
		}
		// Maven's own copy is not needed once ours is whole, and harmful when it is not.
		if removeErr := os.RemoveAll(kept); removeErr != nil {
			return "", fmt.Errorf("clear download: %w", removeErr)
		}
		if err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("download %s: %w", a.coordinates, err)
}

func runMaven(ctx context.Context, maven, repository, dir string, a artifact) error {
	command := exec.CommandContext(ctx, maven, "-q", "-B", "-Dmaven.repo.local="+repository, mavenCopy,
		"-Dartifact="+a.coordinates, "-DoutputDirectory="+dir, "-Dmdep.overWriteReleases=true")
	command.Dir = dir
	return run(command)
}

// run runs the command to its end; its output is the error's text.
func run(command *exec.Cmd) error {
	output, err := command.CombinedOutput()
	if err != nil {
		const most = 4000
		return fmt.Errorf("run %s: %w: %s", filepath.Base(command.Path), err, output[max(0, len(output)-most):])
	}
	return nil
}

func pause(ctx context.Context, length time.Duration) error {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// verify compares the file with its pinned checksum.
func verify(path, want string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open download: %w", err)
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return fmt.Errorf("read download: %w", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return fmt.Errorf("checksum of %s is %s, not %s", filepath.Base(path), got, want)
	}
	return nil
}

// unzip unpacks the archive into dir, without the first strip folders of each name.
func unzip(archive, dir string, strip int) error {
	reader, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("open archive: %w", err)
	}
	defer reader.Close()
	for _, entry := range reader.File {
		parts := strings.SplitN(entry.Name, "/", strip+1)
		name := parts[len(parts)-1]
		if len(parts) <= strip || name == "" {
			continue
		}
		if !filepath.IsLocal(name) {
			return fmt.Errorf("unpack %s: the name leaves the archive", entry.Name)
		}
		if err := unzipEntry(entry, filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("unpack %s: %w", entry.Name, err)
		}
	}
	return nil
}

func unzipEntry(entry *zip.File, path string) (err error) {
	if entry.FileInfo().IsDir() {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	content, err := entry.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, entry.Mode().Perm()|0o444)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = io.Copy(file, content)
	return err
}
