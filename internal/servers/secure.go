package servers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const adminName = "admin"

// writeCertificates makes an authority (ca.crt) and a certificate for 127.0.0.1 (node.crt, node.key), good for a day.
func writeCertificates(dir string) (authority *x509.Certificate, fingerprint string, err error) {
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", fmt.Errorf("make key: %w", err)
	}
	nodeKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", fmt.Errorf("make key: %w", err)
	}
	authority = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Haystream test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	node := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, &authorityKey.PublicKey, authorityKey)
	if err != nil {
		return nil, "", fmt.Errorf("make authority: %w", err)
	}
	nodeDER, err := x509.CreateCertificate(rand.Reader, node, authority, &nodeKey.PublicKey, authorityKey)
	if err != nil {
		return nil, "", fmt.Errorf("make certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(nodeKey)
	if err != nil {
		return nil, "", fmt.Errorf("encode key: %w", err)
	}
	authorityPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authorityDER})
	files := map[string][]byte{
		"ca.crt": authorityPEM,
		// The whole chain: a client that knows the authority by its fingerprint must see it.
		"node.crt": append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: nodeDER}), authorityPEM...),
		"node.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return nil, "", fmt.Errorf("write certificate: %w", err)
		}
	}
	if authority, err = x509.ParseCertificate(authorityDER); err != nil {
		return nil, "", fmt.Errorf("read authority: %w", err)
	}
	sum := sha256.Sum256(authorityDER)
	return authority, hex.EncodeToString(sum[:]), nil
}

// addAdmin adds a user who may do everything, with a password of its own.
func (s *Server) addAdmin(ctx context.Context) error {
	s.Password = rand.Text()
	if err := ownTree(s.run); err != nil {
		return err
	}
	command := exec.CommandContext(ctx, s.Bin("elasticsearch-users"), "useradd", adminName, "-p", s.Password, "-r", "superuser")
	command.Dir, command.Env = s.run, append(os.Environ(), s.program.env...)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: credential()}
	if err := run(command); err != nil {
		return fmt.Errorf("add user: %w", err)
	}
	return nil
}
