package ndjson

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"haystream/sinks"
)

// A saves is a checkpoint's files. Their names end in a number, and each save
// makes the one with the next number: of two daemons the file system lets one
// do that. The highest number counts.
type saves struct {
	dir, prefix string
}

func (s *Sink) saves(name string) saves {
	return saves{dir: s.opts.StateDir, prefix: "checkpoint-" + url.PathEscape(name) + "."}
}

func (s saves) path(number int64) string {
	return filepath.Join(s.dir, s.prefix+strconv.FormatInt(number, 10))
}

func (s saves) numbers() ([]int64, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var numbers []int64
	for _, e := range entries {
		if suffix, ok := strings.CutPrefix(e.Name(), s.prefix); ok {
			if n, err := strconv.ParseInt(suffix, 10, 64); err == nil {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// last is the highest number; 0 where there is none.
func (s saves) last() (int64, error) {
	numbers, err := s.numbers()
	if err != nil || len(numbers) == 0 {
		return 0, err
	}
	return numbers[len(numbers)-1], nil
}

// remove deletes the files with a number below the given one.
func (s saves) remove(below int64) error {
	numbers, err := s.numbers()
	for _, n := range numbers {
		if n < below {
			err = errors.Join(err, os.Remove(s.path(n)))
		}
	}
	return err
}

func tokenOf(number int64) sinks.Token {
	if number == 0 {
		return ""
	}
	return sinks.Token(strconv.FormatInt(number, 10))
}

// LoadCheckpoint implements sinks.Sink.
func (s *Sink) LoadCheckpoint(_ context.Context, name string) ([]byte, sinks.Token, error) {
	files := s.saves(name)
	for {
		last, err := files.last()
		if err != nil || last == 0 {
			return nil, "", err
		}
		data, err := os.ReadFile(files.path(last))
		if errors.Is(err, fs.ErrNotExist) {
			continue // a save has just replaced it
		}
		if err != nil {
			return nil, "", fmt.Errorf("load checkpoint: %w", err)
		}
		return data, tokenOf(last), nil
	}
}

// SaveCheckpoint implements sinks.Sink.
func (s *Sink) SaveCheckpoint(_ context.Context, name string, data []byte, token sinks.Token) (sinks.Token, error) {
	next, err := s.saves(name).save(data, token)
	if err != nil {
		return "", fmt.Errorf("save checkpoint: %w", err)
	}
	return tokenOf(next), nil
}

func (s saves) save(data []byte, token sinks.Token) (int64, error) {
	last, err := s.last()
	if err != nil {
		return 0, err
	}
	if tokenOf(last) != token {
		return 0, sinks.ErrConflict
	}
	next := last + 1
	temp, err := writeBeside(s.path(next), data)
	if err != nil {
		return 0, err
	}
	err = os.Link(temp, s.path(next))
	if err = errors.Join(err, os.Remove(temp)); errors.Is(err, fs.ErrExist) {
		return 0, sinks.ErrConflict
	}
	if err != nil {
		return 0, err
	}
	if err := syncDir(s.dir); err != nil {
		return 0, errors.Join(err, os.Remove(s.path(next)))
	}
	if last, err = s.last(); err != nil || last != next {
		if err == nil {
			err = sinks.ErrConflict // somebody saved twice meanwhile
		}
		return 0, errors.Join(err, os.Remove(s.path(next)))
	}
	_ = s.remove(next) // one that stays does not count, and the next save tries again
	return next, nil
}

// RemoveCheckpoint implements sinks.Sink.
func (s *Sink) RemoveCheckpoint(_ context.Context, name string) error {
	files := s.saves(name)
	last, err := files.last()
	if err != nil || last == 0 {
		return err
	}
	if err := files.remove(last + 1); err != nil {
		return fmt.Errorf("remove checkpoint: %w", err)
	}
	return syncDir(s.opts.StateDir)
}
