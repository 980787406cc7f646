package servers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Java's options. The quick compiler halves what a start costs, and makes long work slower.
const (
	heap          = "-Xms512m -Xmx512m"
	quickCompiler = " -XX:TieredStopAtLevel=1"
)

// prepareElasticsearch writes the configuration for one node, of Elasticsearch or OpenSearch.
func (s *Server) prepareElasticsearch(ctx context.Context, home string) error {
	store, err := openCache()
	if err != nil {
		return err
	}
	found, err := findRelease(s.Spec)
	if err != nil {
		return err
	}
	javaHome, err := findJava(ctx, store, found.java)
	if err != nil {
		return err
	}
	config := filepath.Join(s.run, "config")
	temp := filepath.Join(s.run, "tmp")
	options := heap
	if s.brief {
		options += quickCompiler
	}
	prefix := "ES"
	if s.Kind == OpenSearch {
		prefix = "OPENSEARCH"
	}
	s.program = program{
		bin: []string{filepath.Join(home, "bin")},
		env: []string{
			"HOME=" + s.run, prefix + "_JAVA_HOME=" + javaHome, prefix + "_JAVA_OPTS=" + options,
			prefix + "_PATH_CONF=" + config, prefix + "_TMPDIR=" + temp,
		},
		stop:  syscall.SIGTERM,
		abort: syscall.SIGKILL,
	}
	for _, dir := range []string{s.data, temp} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
	}
	if err := os.CopyFS(config, os.DirFS(filepath.Join(home, "config"))); err != nil {
		return fmt.Errorf("copy configuration: %w", err)
	}
	if err := dropLogFiles(filepath.Join(config, "jvm.options")); err != nil {
		return err
	}
	if err := s.writeNodeConfig(filepath.Join(config, s.Kind+".yml")); err != nil {
		return err
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	if s.Secure {
		if err := s.secure(ctx, config, client); err != nil {
			return err
		}
	}
	s.program.ready = func(ctx context.Context) bool { return s.healthy(ctx, client) }
	return ownTree(s.data, temp, config)
}

// ownTree gives whole directories to the user that servers run as.
func ownTree(roots ...string) error {
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
			return errors.Join(err, own(path))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// dropLogFiles leaves out the options that write into the server's own folder.
func dropLogFiles(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read Java options: %w", err)
	}
	var kept []string
	for line := range strings.Lines(string(text)) {
		writes := func(option string) bool { return strings.Contains(line, option) }
		if !slices.ContainsFunc([]string{"-Xlog", "HeapDump", "ErrorFile"}, writes) {
			kept = append(kept, line)
		}
	}
	if err := os.WriteFile(path, []byte(strings.Join(kept, "")), 0o644); err != nil {
		return fmt.Errorf("write Java options: %w", err)
	}
	return nil
}

func (s *Server) writeNodeConfig(path string) error {
	settings := []string{
		"cluster.name: " + filepath.Base(s.run),
		"path.data: " + s.data,
		"path.logs: " + filepath.Join(s.run, "logs"),
		"network.host: 127.0.0.1",
		"transport.port: 0",
		"discovery.type: single-node",
		"cluster.routing.allocation.disk.threshold_enabled: false",
	}
	if s.Kind == Elasticsearch {
		settings = append(settings, fmt.Sprintf("xpack.security.enabled: %t", s.Secure))
	}
	if s.Secure {
		settings = append(settings,
			"xpack.security.http.ssl.enabled: true",
			"xpack.security.http.ssl.key: node.key",
			"xpack.security.http.ssl.certificate: node.crt")
	}
	if err := os.WriteFile(path, []byte(strings.Join(settings, "\n")+"\n"), 0o644); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// configureElasticsearch sets the command line for s.port.
func (s *Server) configureElasticsearch() {
	scheme := "http"
	if s.Secure {
		scheme = "https"
	}
	s.URL = scheme + "://" + s.Addr
	s.program.args = append([]string{s.Bin(s.Kind), "-E", fmt.Sprintf("http.port=%d", s.port)}, s.Args...)
}

// healthy reports whether this very cluster answers.
func (s *Server) healthy(ctx context.Context, client *http.Client) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/_cluster/health", nil)
	if err != nil {
		return false
	}
	if s.Secure {
		request.SetBasicAuth(adminName, s.Password)
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	var health struct {
		Cluster string `json:"cluster_name"`
		Status  string `json:"status"`
	}
	err = json.NewDecoder(response.Body).Decode(&health)
	return err == nil && health.Cluster == filepath.Base(s.run) && health.Status != "red"
}

// secure makes the certificates and the user.
func (s *Server) secure(ctx context.Context, config string, client *http.Client) error {
	if s.Kind != Elasticsearch {
		return errors.New("only Elasticsearch can be secure")
	}
	authority, fingerprint, err := writeCertificates(config)
	if err != nil {
		return err
	}
	s.CACert, s.Fingerprint = filepath.Join(config, "ca.crt"), fingerprint
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	client.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	return s.addAdmin(ctx)
}
