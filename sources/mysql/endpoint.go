package mysql

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"haystream/internal/conf"
	"haystream/sources"
)

const (
	defaultPort    = "3306"
	connectTimeout = 10 * time.Second
)

// Parameters that source.url may have, in the servers' own words. Letter case
// does not matter, and _ stands for - as on their command lines.
const (
	paramSocket         = "socket"
	paramConnectTimeout = "connect-timeout"
	paramSSLMode        = "ssl-mode"               // as MySQL's clients have it
	paramSSL            = "ssl"                    // as MariaDB's clients have it
	paramVerifyServer   = "ssl-verify-server-cert" // as MariaDB's clients have it
	paramTLS            = "tls"                    // as Go's driver has it
	paramCA             = "ssl-ca"
	paramCert           = "ssl-cert"
	paramKey            = "ssl-key"
)

func parameters() []string {
	return []string{paramSSLMode, paramCA, paramCert, paramKey, paramSSL, paramVerifyServer, paramTLS, paramSocket, paramConnectTimeout}
}

// An endpoint is what source.url says about how to connect.
type endpoint struct {
	flavor   flavor
	network  string // tcp or unix
	dial     string // host:port, or the socket's path
	user     string
	password string
	database string
	timeout  time.Duration
	numeric  bool // a TINYINT(1) is a number

	tls      *tls.Config // nil: not encrypted
	plainToo bool        // go on without encryption where the server has none
}

// parseURL reads source.url. No error repeats any of it but the names and
// values of its parameters, for all else may hold the password.
func parseURL(cfg sources.Config) (*endpoint, error) {
	e, err := readURL(cfg)
	if err != nil {
		return nil, fmt.Errorf("%w: parse source.url: %w", sources.ErrConfig, err)
	}
	e.numeric = cfg.Tinyint1 == sources.Tinyint1Number
	return e, nil
}

func readURL(cfg sources.Config) (*endpoint, error) {
	u, err := url.Parse(cfg.URL.Reveal())
	if err != nil || u.Opaque != "" || u.Fragment != "" {
		return nil, errors.New("it is not a URL; write it like mysql://user:password@host:3306/database, and special characters of a user name or password like %40")
	}
	e := &endpoint{network: "tcp", timeout: connectTimeout}
	switch u.Scheme {
	case "mysql":
		e.flavor = mysqlServer
	case "mariadb":
		e.flavor = mariadbServer
	default:
		return nil, errors.New("the scheme is neither mysql nor mariadb")
	}
	e.user = u.User.Username()
	e.password, _ = u.User.Password()
	if cfg.Password != "" {
		e.password = cfg.Password.Reveal()
	}
	if e.user == "" {
		return nil, errors.New("it names no user")
	}
	e.database = strings.TrimPrefix(u.Path, "/")
	if strings.Contains(e.database, "/") {
		return nil, errors.New("its path must be the name of one database")
	}
	params, err := readParameters(u.RawQuery)
	if err != nil {
		return nil, err
	}
	if err := e.setAddress(u, params); err != nil {
		return nil, err
	}
	if text, ok := params[paramConnectTimeout]; ok {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds <= 0 {
			return nil, fmt.Errorf("%s=%s is not a number of seconds", paramConnectTimeout, text)
		}
		e.timeout = time.Duration(seconds) * time.Second
	}
	return e, e.setTLS(u.Hostname(), params)
}

func readParameters(query string) (map[string]string, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("its parameters are not well-formed; write them like ?ssl-mode=REQUIRED&ssl-ca=/path/ca.pem")
	}
	params := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		known := strings.ReplaceAll(strings.ToLower(name), "_", "-")
		if !slices.Contains(parameters(), known) {
			return nil, fmt.Errorf("the parameter %q is not known%s", name, conf.DidYouMean(known, parameters()))
		}
		if _, twice := params[known]; twice || len(values[name]) > 1 {
			return nil, fmt.Errorf("the parameter %q is given twice", known)
		}
		params[known] = values[name][0]
	}
	return params, nil
}

func (e *endpoint) setAddress(u *url.URL, params map[string]string) error {
	if socket, ok := params[paramSocket]; ok {
		if !strings.HasPrefix(socket, "/") {
			return fmt.Errorf("%s=%s is not an absolute path", paramSocket, socket)
		}
		e.network, e.dial = "unix", socket
		return nil
	}
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	if u.Hostname() == "" {
		return errors.New("it names no host")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return errors.New("its port is not one")
	}
	e.dial = net.JoinHostPort(u.Hostname(), port)
	return nil
}

// address is where the URL points to, without credentials.
func (e *endpoint) address() string { return e.dial + "/" + e.database }
