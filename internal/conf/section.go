package conf

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
)

// A Section collects what is wrong with settings that could be decoded, below one path.
type Section struct {
	Errs Errors

	src  *Source
	path string
}

// Section is the one at the dotted path, empty for all settings.
func (s *Source) Section(path string) *Section { return &Section{src: s, path: path} }

// Failf reports a setting, by its path within the section; empty for the section itself.
func (s *Section) Failf(path, format string, args ...any) {
	at := s.path
	if path != "" {
		at = join(at, path)
	}
	s.Errs = append(s.Errs, s.src.Errorf(at, format, args...))
}

// Has reports whether the files set something at the path within the section.
func (s *Section) Has(path string) bool { return s.src.Has(join(s.path, path)) }

// AtLeast reports a number that is too small.
func (s *Section) AtLeast(path string, value, least int64) {
	if value < least {
		s.Failf(path, "must be at least %d", least)
	}
}

// AtLeastBytes reports a size that is too small.
func (s *Section) AtLeastBytes(path string, value, least Bytes) {
	if value < least {
		s.Failf(path, "must be at least %s", least)
	}
}

// OneOf reports a text that is none of the valid ones.
func (s *Section) OneOf(path, value string, valid []string) {
	if !slices.Contains(valid, value) {
		s.Failf(path, "must be one of %s%s", strings.Join(valid, ", "), DidYouMean(value, valid))
	}
}

// Beside is the name of a file relative to the folder of the config file.
func (s *Section) Beside(name string) string {
	if name == "" {
		return ""
	}
	return besides(s.src.Path, name)
}

// Secret reads into a setting the secret in a file, if one is named. path is where the
// file is named, other where the secret could have been given instead.
func (s *Section) Secret(path, file string, into *Secret, other string) {
	switch {
	case file == "":
	case *into != "":
		s.Failf(path, "the secret is given twice, by %s and by this file; keep one", other)
	default:
		text, err := readSecret(s.Beside(file))
		if err != nil {
			s.Failf(path, "%v", err)
		}
		*into = text
	}
}

// readSecret is the content of a file without its last line break. Errors name
// the file and the reason, never what is in it.
func readSecret(path string) (Secret, error) {
	text, err := ReadFile(path, maxSecret)
	var reason *fs.PathError
	switch {
	case errors.As(err, &reason):
		return "", errors.New("cannot read " + path + ": " + reason.Err.Error())
	case err != nil:
		return "", err
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" {
		return "", errors.New(path + " is empty")
	}
	return Secret(secret), nil
}
