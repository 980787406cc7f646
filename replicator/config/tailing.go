package config

import (
	"net/url"
	"regexp"
	"strings"

	"haystream/internal/conf"
)

// Tailing is a config with every default that has the database at a URL as its source, and
// Elasticsearch as its sink. It is named after the database. The error is conf.Errors.
func Tailing(address conf.Secret, passwordFile string) (*Config, error) {
	c := New()
	c.Sink.NDJSON = nil
	c.Source.URL, c.Source.PasswordFile = address, passwordFile
	c.Name = nameOf(address)
	c.derive()
	src := &conf.Source{}
	v := src.Section("")
	v.Errs = c.readSecrets(src)
	c.validateSource(v)
	return c, v.Errs.Err()
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// nameOf is a pipeline's name for the database that a URL names.
func nameOf(address conf.Secret) string {
	name := ""
	if u, err := url.Parse(address.Reveal()); err == nil {
		name = notInNames.ReplaceAllString(strings.TrimPrefix(u.Path, "/"), "_")
		name = strings.TrimLeft(name[:min(len(name), 99)], "_.-")
	}
	if !conf.ValidName(name) {
		return "haystream"
	}
	return name
}

// PublicURL is the source's URL without what is secret in it.
func (c *Config) PublicURL() string {
	u, err := url.Parse(c.Source.URL.Reveal())
	if err != nil {
		return ""
	}
	query, secret := u.Query(), false
	for name := range query {
		if strings.EqualFold(name, "sslpassword") {
			query.Del(name)
			secret = true
		}
	}
	if secret {
		u.RawQuery = query.Encode()
	}
	if _, has := u.User.Password(); has {
		u.User, secret = url.User(u.User.Username()), true
	}
	if !secret {
		return c.Source.URL.Reveal()
	}
	return u.String()
}
