package mysql

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"haystream/internal/conf"
)

// A tlsMode says how much of TLS is asked for, as MySQL's --ssl-mode does.
type tlsMode uint8

const (
	tlsPreferred      tlsMode = iota // encrypt where the server can; trust any certificate
	tlsDisabled                      // do not encrypt
	tlsRequired                      // encrypt; trust any certificate
	tlsVerifyCA                      // encrypt; the certificate is of a known authority
	tlsVerifyIdentity                // encrypt; the certificate is of a known authority, and the host's
)

// setTLS turns the parameters of either server's clients into one setting.
// A certificate authority without a mode asks for its check, as with MySQL's
// own clients.
func (e *endpoint) setTLS(host string, params map[string]string) error {
	mode, err := readMode(params)
	if err != nil {
		return err
	}
	if mode == tlsPreferred && e.network == "unix" || mode == tlsDisabled {
		return nil // a socket does not leave the machine
	}
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if config.RootCAs, err = readAuthorities(params[paramCA]); err != nil {
		return err
	}
	if config.Certificates, err = readCertificate(params[paramCert], params[paramKey]); err != nil {
		return err
	}
	switch mode {
	case tlsVerifyIdentity:
		if host == "" {
			return errors.New("to verify the server's identity takes the host's name, beside the socket")
		}
	case tlsVerifyCA:
		config.InsecureSkipVerify = true // the host's name only; verifyChain does the rest
		config.VerifyConnection = verifyChain(config.RootCAs)
	default:
		config.InsecureSkipVerify = true // as the mode says
	}
	e.tls, e.plainToo = config, mode == tlsPreferred
	return nil
}

func readMode(params map[string]string) (tlsMode, error) {
	var given []string
	for _, name := range []string{paramSSLMode, paramSSL, paramTLS} {
		if _, ok := params[name]; ok {
			given = append(given, name)
		}
	}
	if len(given) > 1 {
		return 0, fmt.Errorf("%s and %s say the same in two ways; keep one", given[0], given[1])
	}
	mode := tlsPreferred
	if params[paramCA] != "" {
		mode = tlsVerifyCA
	}
	var err error
	if len(given) == 1 {
		if mode, err = modeOf(given[0], params[given[0]], mode); err != nil {
			return 0, err
		}
	}
	text, ok := params[paramVerifyServer]
	if !ok {
		return mode, nil
	}
	switch verify, known := readBool(text); {
	case !known:
		return 0, fmt.Errorf("%s=%s is neither 1 nor 0", paramVerifyServer, text)
	case len(given) == 1 && given[0] != paramSSL:
		return 0, fmt.Errorf("%s goes with ssl, not with %s", paramVerifyServer, given[0])
	case verify && mode == tlsDisabled:
		return 0, fmt.Errorf("%s takes ssl", paramVerifyServer)
	case verify:
		return tlsVerifyIdentity, nil
	case mode == tlsVerifyCA: // asked for by the authority alone
		return tlsRequired, nil
	}
	return mode, nil
}

// modeOf reads one parameter; implied is the mode without it.
func modeOf(name, text string, implied tlsMode) (tlsMode, error) {
	switch name {
	case paramSSLMode:
		switch strings.ToUpper(strings.ReplaceAll(text, "-", "_")) {
		case "DISABLED":
			return tlsDisabled, nil
		case "PREFERRED":
			return tlsPreferred, nil
		case "REQUIRED":
			return tlsRequired, nil
		case "VERIFY_CA":
			return tlsVerifyCA, nil
		case "VERIFY_IDENTITY":
			return tlsVerifyIdentity, nil
		}
		return 0, fmt.Errorf("%s=%s is none of DISABLED, PREFERRED, REQUIRED, VERIFY_CA and VERIFY_IDENTITY", name, text)
	case paramTLS:
		switch strings.ToLower(text) {
		case "preferred":
			return tlsPreferred, nil
		case "skip-verify":
			return tlsRequired, nil
		}
		if on, known := readBool(text); known {
			if on {
				return tlsVerifyIdentity, nil
			}
			return tlsDisabled, nil
		}
		return 0, fmt.Errorf("%s=%s is none of true, false, skip-verify and preferred", name, text)
	}
	on, known := readBool(text)
	switch {
	case !known:
		return 0, fmt.Errorf("%s=%s is neither 1 nor 0", name, text)
	case !on:
		return tlsDisabled, nil
	}
	return max(tlsRequired, implied), nil
}

func readBool(text string) (on, known bool) {
	switch strings.ToLower(text) {
	case "1", "true", "on", "yes", "":
		return true, true
	case "0", "false", "off", "no":
		return false, true
	}
	return false, false
}

// readAuthorities reads certificates; nil, for those that the system trusts, without a path.
func readAuthorities(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := conf.ReadFile(path, conf.MaxFile)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", paramCA, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read %s: %s holds no certificate", paramCA, path)
	}
	return pool, nil
}

func readCertificate(cert, key string) ([]tls.Certificate, error) {
	if cert == "" && key == "" {
		return nil, nil
	}
	if cert == "" || key == "" {
		return nil, fmt.Errorf("%s and %s go together", paramCert, paramKey)
	}
	if err := errors.Join(conf.CheckFile(cert, conf.MaxFile), conf.CheckFile(key, conf.MaxFile)); err != nil {
		return nil, fmt.Errorf("read %s and %s: %w", paramCert, paramKey, err)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("read %s and %s: %w", paramCert, paramKey, err)
	}
	return []tls.Certificate{pair}, nil
}

// verifyChain checks the server's certificate, but not its name.
func verifyChain(roots *x509.CertPool) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		for _, c := range state.PeerCertificates[1:] {
			options.Intermediates.AddCert(c)
		}
		_, err := state.PeerCertificates[0].Verify(options)
		return err
	}
}
