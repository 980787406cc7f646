package elasticsearch

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"haystream/internal/conf"
)

// tlsConfig says how the servers' certificates are checked; nil for the
// system's way.
func tlsConfig(cfg *Config) (*tls.Config, error) {
	switch {
	case cfg.CACert != "":
		pem, err := conf.ReadFile(cfg.CACert, conf.MaxFile)
		if err != nil {
			return nil, fmt.Errorf("read ca_cert: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read ca_cert: %s holds no certificate in PEM form", cfg.CACert)
		}
		return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
	case cfg.CAFingerprint != "":
		sum, err := hex.DecodeString(strings.ReplaceAll(cfg.CAFingerprint, ":", ""))
		if err != nil || len(sum) != sha256.Size {
			return nil, errors.New("ca_fingerprint is not a SHA-256 in hex: 64 digits, colons allowed")
		}
		return &tls.Config{
			MinVersion:         tls.VersionTLS12,
			InsecureSkipVerify: true, //nolint:gosec // VerifyConnection verifies, by the fingerprint
			VerifyConnection:   func(state tls.ConnectionState) error { return verifyFingerprint(state, sum) },
		}, nil
	}
	return nil, nil
}

// verifyFingerprint takes a server whose certificate is, or was issued by, the
// one with the fingerprint. That a chain merely contains it proves nothing:
// anybody can send a public certificate along. Host names are not checked, as
// in Elastic's own clients: the authority is the cluster's own.
func verifyFingerprint(state tls.ConnectionState, sum []byte) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	found := false
	for _, cert := range state.PeerCertificates {
		if got := sha256.Sum256(cert.Raw); bytes.Equal(got[:], sum) {
			roots.AddCert(cert)
			found = true
			continue
		}
		between.AddCert(cert)
	}
	if !found {
		return errors.New("no certificate of the server has the configured ca_fingerprint")
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err
}
