package mysql

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"haystream/internal/conf"
	"haystream/sources"
)

func TestParseURL(t *testing.T) {
	tests := []struct {
		url  string
		file string // what password_file gave
		want endpoint
	}{
		{"mysql://root@db/", "", endpoint{flavor: mysqlServer, network: "tcp", dial: "db:3306", user: "root"}},
		{"mariadb://app:pw@db.internal:3307/blog", "", endpoint{flavor: mariadbServer, network: "tcp", dial: "db.internal:3307", user: "app", password: "pw", database: "blog"}},
		{"mysql://a%40b:p%3A%2F%40%23%3F%C3%A9@db/my%20blog", "", endpoint{flavor: mysqlServer, network: "tcp", dial: "db:3306", user: "a@b", password: "p:/@#?é", database: "my blog"}},
		{"mysql://app:pw@[2001:db8::1]/blog", "", endpoint{flavor: mysqlServer, network: "tcp", dial: "[2001:db8::1]:3306", user: "app", password: "pw", database: "blog"}},
		{"mysql://app:pw@[::1]:3310/blog", "filed", endpoint{flavor: mysqlServer, network: "tcp", dial: "[::1]:3310", user: "app", password: "filed", database: "blog"}},
		{"mysql://app@localhost/blog?socket=/run/mysqld/mysqld.sock", "", endpoint{flavor: mysqlServer, network: "unix", dial: "/run/mysqld/mysqld.sock", user: "app", database: "blog"}},
		{"mysql://app@/blog?socket=/run/s&connect_timeout=3", "", endpoint{flavor: mysqlServer, network: "unix", dial: "/run/s", user: "app", database: "blog", timeout: 3 * time.Second}},
	}
	for _, test := range tests {
		got, err := parseURL(sources.Config{URL: conf.Secret(test.url), Password: conf.Secret(test.file)})
		if err != nil {
			t.Errorf("%s: %v", test.url, err)
			continue
		}
		if test.want.timeout == 0 {
			test.want.timeout = connectTimeout
		}
		got.tls, got.plainToo = nil, false
		if *got != test.want {
			t.Errorf("%s is %+v, want %+v", test.url, *got, test.want)
		}
		if address := got.address(); address != test.want.dial+"/"+test.want.database {
			t.Errorf("%s has the address %s", test.url, address)
		}
	}
}

func TestParseURLRefused(t *testing.T) {
	tests := []struct{ url, want string }{
		{"mysql://app:s3cret@db:s3cret/blog", "it is not a URL; write it like mysql://"},
		{"mysql://app:s3cret%zz@db/blog", "it is not a URL"},
		{"mysql:app:s3cret@db", "it is not a URL"},
		{"mysql://app:s3cret@db/blog#s3cret", "it is not a URL"},
		{"postgres://app:s3cret@db/blog", "the scheme is neither mysql nor mariadb"},
		{"mysql://:s3cret@db/blog", "it names no user"},
		{"mysql://app:s3cret@/blog", "it names no host"},
		{"mysql://app:s3cret@db:70000/blog", "its port is not one"},
		{"mysql://app:s3cret@db/blog/posts", "its path must be the name of one database"},
		{"mysql://app:s3cret@db?ssl-mod=REQUIRED", `the parameter "ssl-mod" is not known; did you mean "ssl-mode"?`},
		{"mysql://app:s3cret@db?sslMode=REQUIRED", `the parameter "sslMode" is not known; did you mean "ssl-mode"?`},
		{"mysql://app:s3cret@db?charset=latin1", `the parameter "charset" is not known`},
		{"mysql://app:s3cret@db?tls=true&tls=false", `the parameter "tls" is given twice`},
		{"mysql://app:s3cret@db?ssl_ca=/a&ssl-ca=/b", `the parameter "ssl-ca" is given twice`},
		{"mysql://app:s3cret@db?ssl-mode=ON", "ssl-mode=ON is none of DISABLED"},
		{"mysql://app:s3cret@db?tls=maybe", "tls=maybe is none of true, false"},
		{"mysql://app:s3cret@db?ssl=maybe", "ssl=maybe is neither 1 nor 0"},
		{"mysql://app:s3cret@db?tls=true&ssl-mode=REQUIRED", "ssl-mode and tls say the same in two ways"},
		{"mysql://app:s3cret@db?ssl=0&ssl-verify-server-cert=1", "ssl-verify-server-cert takes ssl"},
		{"mysql://app:s3cret@db?ssl-mode=REQUIRED&ssl-verify-server-cert=1", "ssl-verify-server-cert goes with ssl, not with ssl-mode"},
		{"mysql://app:s3cret@db?ssl-ca=/nowhere/ca.pem", "read ssl-ca: open /nowhere/ca.pem"},
		{"mysql://app:s3cret@db?ssl-mode=REQUIRED&ssl-cert=/a.pem", "ssl-cert and ssl-key go together"},
		{"mysql://app:s3cret@db?ssl-mode=REQUIRED&ssl-cert=/a.pem&ssl-key=/b.pem", "read ssl-cert and ssl-key: open /a.pem"},
		{"mysql://app:s3cret@db?socket=s", "socket=s is not an absolute path"},
		{"mysql://app:s3cret@/?socket=/s&ssl-mode=VERIFY_IDENTITY", "takes the host's name"},
		{"mysql://app:s3cret@db?connect-timeout=soon", "connect-timeout=soon is not a number of seconds"},
		{"mysql://app:s3cret@db?tls=%zz", "its parameters are not well-formed"},
	}
	for _, test := range tests {
		_, err := parseURL(sources.Config{URL: conf.Secret(test.url)})
		switch {
		case err == nil:
			t.Errorf("%s is taken", test.url)
		case !errors.Is(err, sources.ErrConfig) || !strings.Contains(err.Error(), test.want):
			t.Errorf("%s: %v, want %s", test.url, err, test.want)
		case strings.Contains(err.Error(), "s3cret"):
			t.Errorf("%s: the error repeats the password: %v", test.url, err)
		}
	}
}

func TestTLSModes(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, newAuthority(t).pem, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ params, want string }{
		{"", "preferred"},
		{"ssl-mode=preferred", "preferred"},
		{"tls=preferred", "preferred"},
		{"ssl-mode=DISABLED", "none"},
		{"tls=false", "none"},
		{"ssl=0", "none"},
		{"ssl-mode=REQUIRED", "required"},
		{"ssl_mode=required", "required"},
		{"tls=skip-verify", "required"},
		{"ssl=1", "required"},
		{"ssl", "required"},
		{"ssl=1&ssl-verify-server-cert=0", "required"},
		{"ssl-verify-server-cert=0&ssl-ca=FILE", "required"},
		{"ssl-mode=REQUIRED&ssl-ca=FILE", "required"},
		{"ssl-mode=VERIFY_CA", "authority"},
		{"ssl-mode=verify-ca&ssl-ca=FILE", "authority"},
		{"ssl-ca=FILE", "authority"},
		{"ssl=1&ssl-ca=FILE", "authority"},
		{"ssl-mode=VERIFY_IDENTITY&ssl-ca=FILE", "identity of db"},
		{"tls=true", "identity of db"},
		{"ssl=true&ssl-verify-server-cert=true", "identity of db"},
		{"ssl-verify-server-cert=1&ssl-ca=FILE", "identity of db"},
		{"socket=/s", "none"},
		{"socket=/s&ssl-mode=REQUIRED", "required"},
	}
	for _, test := range tests {
		e, err := parseURL(sources.Config{URL: conf.Secret("mysql://app@db?" + strings.ReplaceAll(test.params, "FILE", ca))})
		if err != nil {
			t.Errorf("%s: %v", test.params, err)
			continue
		}
		got := "required"
		switch {
		case e.tls == nil:
			got = "none"
		case e.plainToo:
			got = "preferred"
		case !e.tls.InsecureSkipVerify:
			got = "identity of " + e.tls.ServerName
		case e.tls.VerifyConnection != nil:
			got = "authority"
		}
		if got != test.want {
			t.Errorf("%s is %s, want %s", test.params, got, test.want)
		}
	}
}
