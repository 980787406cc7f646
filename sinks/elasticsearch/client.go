package elasticsearch

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
)

// errNotElasticsearch means that something else answers at the address.
var errNotElasticsearch = errors.New("what answers there does not say that it is Elasticsearch; set flavor: opensearch if it is OpenSearch, and check the address and proxies if not")

const (
	callTimeout = 60 * time.Second
	maxError    = 64 << 10 // bytes read of an error's body
)

// A client sends requests, one try each: who calls it decides about another.
type client struct {
	es        *elastictransport.Client
	transport *http.Transport
	lost      atomic.Pointer[lost] // nil where the last request had an answer
}

// A lost answer is one that did not come since the server cannot be reached.
type lost struct {
	since, last time.Time // the first and the last one were lost of those without an answer in between
	err         error     // of the last one
}

// lostFor is for how long answers are lost before that is worth telling. One alone is not: nothing may be asked for some time after it.
const lostFor = 2 * time.Second

// unreached says why the server cannot be reached; nil where it can.
func (c *client) unreached() error {
	if l := c.lost.Load(); l != nil && l.last.Sub(l.since) >= lostFor {
		return l.err
	}
	return nil
}

// perform sends a request, and notes whether there was an answer. ctx is the caller's: where it has ended, the caller did
// not wait. The limit that a request has of its own is in the request's context only: a server that lets it pass cannot be reached.
func (c *client) perform(ctx context.Context, req *http.Request) (*http.Response, error) {
	res, err := c.es.Perform(req)
	switch {
	case err == nil:
		c.lost.Store(nil)
	case ctx.Err() == nil:
		now := time.Now()
		l := &lost{since: now, last: now, err: err}
		if before := c.lost.Load(); before != nil {
			l.since = before.since
		}
		c.lost.Store(l)
	}
	return res, err
}

func newClient(cfg *Config) (*client, error) {
	tls, err := tlsConfig(cfg)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:       tls,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: 5 * time.Second,
		MaxIdleConnsPerHost:   cfg.Bulk.Lanes + 2,
		IdleConnTimeout:       time.Minute,
		WriteBufferSize:       64 << 10,
		DisableCompression:    !cfg.Compression,
	}
	urls, err := addresses(cfg)
	if err != nil {
		return nil, err
	}
	options := []elastictransport.Option{
		elastictransport.WithURLs(urls...),
		elastictransport.WithTransport(transport),
		elastictransport.WithDisableRetry(),
		elastictransport.WithUserAgent("haystream"),
	}
	switch {
	case cfg.APIKey != "":
		options = append(options, elastictransport.WithAPIKey(cfg.APIKey.Reveal()))
	case cfg.Username != "":
		options = append(options, elastictransport.WithBasicAuth(cfg.Username, cfg.Password.Reveal()))
	}
	if cfg.Flavor == FlavorElasticsearch {
		options = append(options, elastictransport.WithInterceptors(checkProduct))
	}
	es, err := elastictransport.NewClient(options...)
	if err != nil {
		return nil, err
	}
	return &client{es: es, transport: transport}, nil
}

// addresses are those of the nodes, or the one that a cloud id stands for:
// name:base64(domain$elasticsearch$kibana).
func addresses(cfg *Config) ([]*url.URL, error) {
	if cfg.CloudID != "" {
		_, encoded, _ := strings.Cut(cfg.CloudID, ":")
		text, err := base64.StdEncoding.DecodeString(encoded)
		parts := strings.Split(string(text), "$")
		if err != nil || len(parts) < 2 || parts[0] == "" || parts[1] == "" {
			return nil, errors.New("cloud_id is not one; copy it from the deployment's page")
		}
		return []*url.URL{{Scheme: "https", Host: parts[1] + "." + parts[0]}}, nil
	}
	urls := make([]*url.URL, len(cfg.Addresses))
	for i, address := range cfg.Addresses {
		u, err := url.Parse(strings.TrimRight(address, "/"))
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("addresses: entry %d is not an address; write it like https://localhost:9200", i+1)
		}
		urls[i] = u
	}
	return urls, nil
}

// checkProduct takes nothing for Elasticsearch that does not say so: a proxy's
// page must not be read as an answer.
func checkProduct(next elastictransport.RoundTripFunc) elastictransport.RoundTripFunc {
	return func(req *http.Request) (*http.Response, error) {
		res, err := next(req)
		if err == nil && res.StatusCode/100 == 2 && res.Header.Get("X-Elastic-Product") != "Elasticsearch" {
			return nil, errors.Join(errNotElasticsearch, res.Body.Close())
		}
		return res, err
	}
}

// An apiError is an answer of the server that is no success.
type apiError struct {
	Status       int
	Type, Reason string
	RetryAfter   time.Duration
	Body         []byte // what there is of it
}

func (e *apiError) Error() string {
	if e.Type == "" {
		return fmt.Sprintf("the server answers %d %s", e.Status, http.StatusText(e.Status))
	}
	return fmt.Sprintf("the server answers %d %s: %s", e.Status, e.Type, e.Reason)
}

// isType reports whether err is an answer with this type of error.
func isType(err error, typ string) bool {
	var e *apiError
	return errors.As(err, &e) && e.Type == typ
}

// allShards is the type of an error that says only that no shard could answer; its root cause says why.
const allShards = "search_phase_execution_exception"

func readError(res *http.Response) *apiError {
	e := &apiError{Status: res.StatusCode}
	e.Body, _ = io.ReadAll(io.LimitReader(res.Body, maxError))
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = min(time.Duration(s)*time.Second, 10*time.Minute)
	}
	var shape struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(e.Body, &shape) != nil || len(shape.Error) == 0 {
		return e
	}
	var cause struct {
		Type, Reason string
		Root         []struct{ Type, Reason string } `json:"root_cause"`
	}
	switch {
	case json.Unmarshal(shape.Error, &cause) == nil:
		if cause.Type == allShards && len(cause.Root) > 0 {
			e.Type, e.Reason = cause.Root[0].Type, cause.Root[0].Reason
			break
		}
		e.Type, e.Reason = cause.Type, cause.Reason
	case json.Unmarshal(shape.Error, &cause.Reason) == nil:
		e.Type, e.Reason = "error", cause.Reason
	}
	return e
}

// call sends one request with a JSON body, nil for none, and decodes the
// answer into out, nil for nothing. An answer that is no success is an *apiError.
func (c *client) call(ctx context.Context, method, path string, body []byte, out any) error {
	return c.within(ctx, callTimeout, method, path, body, out)
}

// within is call for what may take another time.
func (c *client) within(ctx context.Context, limit time.Duration, method, path string, body []byte, out any) error {
	return c.stream(ctx, limit, method, path, body, func(d *json.Decoder) error {
		if out == nil {
			return nil
		}
		if err := d.Decode(out); err != nil {
			return fmt.Errorf("decode answer to %s %s: %w", method, path, err)
		}
		return nil
	})
}

// stream is call for an answer that is read in parts.
func (c *client) stream(ctx context.Context, limit time.Duration, method, path string, body []byte, read func(*json.Decoder) error) error {
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(within, method, path, reader)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.perform(ctx, req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode/100 != 2 {
		return readError(res)
	}
	if err := read(json.NewDecoder(res.Body)); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

func (c *client) close() { c.transport.CloseIdleConnections() }
