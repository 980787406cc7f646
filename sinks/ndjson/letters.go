package ndjson

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"haystream/sinks"
	"haystream/sinks/deadletters"
)

// A letterFile keeps dead letters, one on a line; later lines clear them. It is
// made by the first one.
type letterFile struct {
	path string
	mu   sync.Mutex
}

// A letterLine is a dead letter, or says that one is cleared, or all of an index.
type letterLine struct {
	deadletters.Letter
	Cleared bool `json:"cleared,omitempty"`
	Dropped bool `json:"dropped,omitempty"`
}

// A clearLine is what is written to clear.
type clearLine struct {
	Owner    string `json:"owner"`
	Physical string `json:"physical"`
	DocID    string `json:"doc_id,omitempty"`
	Version  int64  `json:"version,omitempty"`
	Cleared  bool   `json:"cleared,omitempty"`
	Dropped  bool   `json:"dropped,omitempty"`
}

func appendClear(dst []byte, owner string, a *sinks.Action) []byte {
	return appendLine(dst, clearLine{Owner: owner, Physical: a.Target.Physical, DocID: string(a.ID), Version: a.Version, Cleared: true})
}

func appendLine(dst []byte, line clearLine) []byte {
	text, _ := json.Marshal(line) // strings, a number and booleans encode
	return append(append(dst, text...), '\n')
}

// append writes whole lines and waits until they are on the disk. After an
// error nothing of them is there.
func (f *letterFile) append(lines []byte) (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	end, err := lineStart(file, info.Size())
	if err != nil {
		return err
	}
	if err := file.Truncate(end); err != nil {
		return err
	}
	if _, err = file.WriteAt(lines, end); err == nil {
		err = file.Sync()
	}
	if err != nil {
		err = errors.Join(err, file.Truncate(end))
	}
	return err
}

// load opens in the set what is open in the file.
func (f *letterFile) load(owner string, open *deadletters.Open) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		open.Reset()
		return nil
	}
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	defer func() { _ = file.Close() }()
	open.Reset()
	r := bufio.NewReader(file)
	for n := 1; ; n++ {
		text, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // the last line is not whole: it was never held
		}
		var line letterLine
		if err == nil {
			err = json.Unmarshal(text, &line)
		}
		if err != nil {
			return fmt.Errorf("read dead letters: %s:%d: %w", f.path, n, err)
		}
		if line.Owner != owner {
			continue
		}
		key := deadletters.AppendKey(nil, line.Physical, []byte(line.DocID))
		switch {
		case line.Dropped:
			open.Drop(line.Physical)
		case line.Cleared:
			open.Clear(key, line.Version, false)
		case !open.Add(key, line.Version, line.Deletes()):
			return sinks.ErrTooManyDeadLetters
		}
	}
}

// DeadLetters implements sinks.Sink.
func (s *Sink) DeadLetters(context.Context) (map[string]int64, error) {
	open := deadletters.NewOpen(1 << 62)
	if err := s.letters.load(s.opts.Owner, open); err != nil {
		return nil, err
	}
	return open.Counts(), nil
}
