package conf

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Sizes that files are read up to.
const (
	MaxFile   = 16 << 20 // of settings, templates and certificates
	maxSecret = 64 << 10
)

// ReadFile reads a regular file of at most limit bytes. Others have no end, or
// would be waited for.
func ReadFile(path string, limit int64) ([]byte, error) {
	if err := CheckFile(path, limit); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return readAll(path, f, limit)
}

// ReadFileIn is ReadFile within a file system.
func ReadFileIn(fsys fs.FS, path string, limit int64) ([]byte, error) {
	if info, err := fs.Stat(fsys, path); err == nil {
		if err := readable(path, info, limit); err != nil {
			return nil, err
		}
	}
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	return readAll(path, f, limit)
}

// CheckFile says why somebody else should not read the file; nil too where it
// is not there.
func CheckFile(path string, limit int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return nil //nolint:nilerr // reading it says better what is wrong
	}
	return readable(path, info, limit)
}

func readable(path string, info fs.FileInfo, limit int64) error {
	switch {
	case info.IsDir():
		return fmt.Errorf("%s is a directory", path)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file; name one", path)
	case info.Size() > limit:
		return tooLarge(path, limit)
	}
	return nil
}

// readAll reads no more than limit, whatever the file's size was said to be.
func readAll(path string, f fs.File, limit int64) ([]byte, error) {
	defer func() { _ = f.Close() }() // nothing was written
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = tooLarge(path, limit)
	}
	return text, err
}

func tooLarge(path string, limit int64) error {
	return fmt.Errorf("%s is larger than %s, which is the most that is read", path, Bytes(limit))
}
