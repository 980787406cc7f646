package elasticsearch

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"

	"haystream/sinks"
)

// A server is what answers at the addresses.
type server struct {
	product    string // elasticsearch, opensearch
	version    string
	serverless bool
	types      map[string]bool // nil: not known
}

// optionalTypes are the field types that a module adds, by the module's name.
// A build without the module lacks them.
var optionalTypes = map[string][]string{
	"mapper-extras": {"scaled_float", "token_count", "rank_feature", "rank_features", "search_as_you_type"},
	"geo":           {"geo_shape"},
	"spatial":       {"geo_shape", "shape"},
}

// flatTypes are what the servers call a field for objects of any members.
var flatTypes = map[string]string{FlavorElasticsearch: "flattened", FlavorOpenSearch: "flat_object"}

// Info implements sinks.Sink.
func (s *Sink) Info(ctx context.Context) (sinks.Info, error) {
	info := sinks.Info{Address: s.address(), Rules: s.cfg.Rules()}
	found, err := s.identify(ctx)
	if err != nil {
		if text, remedy := diagnose(err); remedy != "" {
			return info, fmt.Errorf("%s: %s; %s: %w", s.address(), text, remedy, err)
		}
		return info, fmt.Errorf("%s: %w", s.address(), err)
	}
	s.server = found
	info.Kind, info.Version, info.Rules.Types = found.product, found.version, found.types
	info.Rules.NoBoost = found.product == FlavorElasticsearch && !strings.HasPrefix(found.version, "7.")
	return info, nil
}

// identify asks the server who it is. A build without the main page (405) is
// asked for its nodes instead.
func (s *Sink) identify(ctx context.Context) (server, error) {
	var page struct {
		Version struct {
			Number       string `json:"number"`
			Distribution string `json:"distribution"`
			BuildFlavor  string `json:"build_flavor"`
		} `json:"version"`
	}
	err := s.client.call(ctx, http.MethodGet, "/", nil, &page)
	var e *apiError
	if err != nil && (!errors.As(err, &e) || e.Status != http.StatusMethodNotAllowed) {
		return server{}, err
	}
	found := server{product: s.cfg.Flavor, version: page.Version.Number, serverless: page.Version.BuildFlavor == "serverless"}
	if found.product == FlavorOpenSearch && err == nil && page.Version.Distribution != "opensearch" && !strings.HasPrefix(page.Version.Number, "7.10.") {
		return server{}, fmt.Errorf("flavor is opensearch, but the server is %s %s; set flavor: elasticsearch", FlavorElasticsearch, page.Version.Number)
	}
	version, types, err := s.nodes(ctx)
	if err != nil && found.version == "" {
		return server{}, err
	}
	if types != nil {
		types[flatTypes[found.product]] = true
	}
	found.types = types
	if found.version == "" {
		found.version = version
	}
	return found, nil
}

// nodes asks for the version and modules of the node that answers.
func (s *Sink) nodes(ctx context.Context) (version string, types map[string]bool, err error) {
	var answer struct {
		Nodes map[string]struct {
			Version string `json:"version"`
			Modules []struct {
				Name string `json:"name"`
			} `json:"modules"`
		} `json:"nodes"`
	}
	if err := s.client.call(ctx, http.MethodGet, "/_nodes/_local/plugins?filter_path=nodes.*.version,nodes.*.modules.name", nil, &answer); err != nil {
		return "", nil, err
	}
	types = map[string]bool{}
	for _, node := range answer.Nodes {
		version = node.Version
		for _, module := range node.Modules {
			for _, typ := range optionalTypes[module.Name] {
				types[typ] = true
			}
		}
	}
	return version, types, nil
}

// supported says whether the version is one that the sink is made for.
func (v server) supported() bool {
	parts := strings.SplitN(v.version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	major, majorErr := strconv.Atoi(parts[0])
	minor, minorErr := strconv.Atoi(parts[1])
	if majorErr != nil || minorErr != nil {
		return false
	}
	if v.product == FlavorOpenSearch {
		return major == 2 || major == 3 || major == 7 && minor == 10 // how it calls itself for old clients
	}
	return major == 7 && minor >= 17 || major == 8 || major == 9
}

// diagnose says in words for people what an error means, and what mends it,
// where that is known.
func diagnose(err error) (text, remedy string) {
	var e *apiError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	switch {
	case errors.As(err, &e) && e.Status == http.StatusUnauthorized:
		return "the server refuses the credentials (401)", "check api_key, or username and password"
	case errors.As(err, &e) && e.Status == http.StatusForbidden:
		return "the server refuses access (403)", "grant the user or key the cluster privilege monitor, and all on its indexes"
	case errors.As(err, &authority):
		return "the server's certificate is signed by an authority that is not trusted", "set ca_cert or ca_fingerprint"
	case errors.As(err, &host):
		return "the server's certificate is for another host", "use a name from the certificate in addresses, or set ca_fingerprint"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there", "start the server, or mend addresses"
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "the server does not speak TLS", "write the address with http://"
	case strings.Contains(err.Error(), "malformed HTTP response"), errors.Is(err, io.EOF):
		return "the server ends the connection without an answer", "write the address with https:// if it speaks TLS"
	}
	return err.Error(), ""
}

// explained is err in words for people, behind what was being done.
func explained(doing string, err error) error {
	return fmt.Errorf("%s: %w", doing, errors.New(describe(err)))
}

// describe is err in words for people.
func describe(err error) string {
	text, remedy := diagnose(err)
	if remedy == "" {
		return text
	}
	return text + "; " + remedy
}
