package config

import (
	"errors"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"

	"haystream/internal/conf"
)

// readFiles reads the files that hold secrets, copies the password in the
// source's URL to Password, and finds ca_cert beside the config file.
func (c *Config) readFiles(src *conf.Source) conf.Errors {
	var errs conf.Errors
	if u, err := url.Parse(c.Source.URL.Reveal()); err == nil {
		password, _ := u.User.Password()
		c.Source.Password = conf.Secret(password)
	}
	secret := func(file string, into *conf.Secret, filePath, settingPath string) {
		switch {
		case file == "":
		case *into != "":
			errs = append(errs, src.Errorf(filePath, "the secret is given twice, by %s and by this file; keep one", settingPath))
		default:
			text, err := readSecret(besides(src.Path, file))
			if err != nil {
				errs = append(errs, src.Errorf(filePath, "%v", err))
			}
			*into = text
		}
	}
	secret(c.Source.PasswordFile, &c.Source.Password, "source.password_file", "source.url")
	if es := c.Sink.Elasticsearch; es != nil {
		es.CACert = besides(src.Path, es.CACert)
		secret(es.APIKeyFile, &es.APIKey, "sink.elasticsearch.api_key_file", "api_key")
		secret(es.PasswordFile, &es.Password, "sink.elasticsearch.password_file", "password")
	}
	return errs
}

// readSecret is the content of a file without its last line break. Errors name
// the file and the reason, never what is in it.
func readSecret(path string) (conf.Secret, error) {
	text, err := conf.ReadFile(path, conf.MaxSecret)
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
	return conf.Secret(secret), nil
}

// besides is name relative to the folder of the config file.
func besides(config, name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(config), name)
}
