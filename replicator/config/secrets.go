package config

import (
	"net/url"

	"haystream/internal/conf"
)

// readSecrets copies the password in the source's URL to Password, or reads it from its file.
func (c *Config) readSecrets(src *conf.Source) conf.Errors {
	if u, err := url.Parse(c.Source.URL.Reveal()); err == nil {
		password, _ := u.User.Password()
		c.Source.Password = conf.Secret(password)
	}
	source := src.Section("source")
	source.Secret("password_file", c.Source.PasswordFile, &c.Source.Password, "source.url")
	return source.Errs
}
