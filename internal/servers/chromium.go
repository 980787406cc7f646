package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A Browser is Chromium without a window.
type Browser struct {
	program string
	profile string
}

// View says how a page is looked at.
type View struct {
	Width, Height int
	Dark          bool
}

// Chromium finds it, or installs Debian's package.
func Chromium(t testing.TB) *Browser {
	t.Helper()
	program, err := findChromium(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &Browser{program: program, profile: t.TempDir()}
}

func findChromium(ctx context.Context) (string, error) {
	store, err := openCache()
	if err != nil {
		return "", err
	}
	return tool(ctx, store, "chromium", "chromium")
}

// DOM is the document of a live page at its root, as its scripts have left it once it has been told of changes twice.
func (b *Browser) DOM(ctx context.Context, page string, v View) (string, error) {
	return b.look(ctx, page, v, "--dump-dom")
}

// Screenshot writes a picture of the same as a PNG.
func (b *Browser) Screenshot(ctx context.Context, page, path string, v View) error {
	_, err := b.look(ctx, page, v, "--screenshot="+path, "--hide-scrollbars")
	return err
}

func (b *Browser) look(ctx context.Context, page string, v View, args ...string) (string, error) {
	to, err := url.Parse(page)
	if err != nil {
		return "", err
	}
	proxy := httptest.NewServer(late(to))
	defer proxy.Close()
	defer proxy.CloseClientConnections()
	scheme := "1"
	if v.Dark {
		scheme = "0"
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, b.program, append(append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--user-data-dir=" + b.profile,
		"--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--blink-settings=preferredColorScheme=" + scheme, fmt.Sprintf("--window-size=%d,%d", v.Width, v.Height),
	}, args...), proxy.URL+to.Path)...)
	command.WaitDelay = 5 * time.Second
	out, err := command.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("chromium: %w: %s", err, exit.Stderr)
	}
	return string(out), err
}

// lateImage is what a page is given to wait for, and messages how many server-sent events come before it.
const (
	lateImage = "/late-image"
	messages  = 2
)

// late passes a live page on. Chromium is done with a page when it is loaded, so an image is added that comes after the
// messages; nothing else is changed.
func late(to *url.URL) http.Handler {
	told := make(chan struct{}, 1000)
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ModifyResponse: func(res *http.Response) error {
			switch kind := res.Header.Get("Content-Type"); {
			case strings.HasPrefix(kind, "text/event-stream"):
				res.Body = &teller{res.Body, told}
			case strings.HasPrefix(kind, "text/html"):
				body, err := io.ReadAll(res.Body)
				if err != nil {
					return err
				}
				body = bytes.Replace(body, []byte("</main>"), []byte(`</main><img src="`+lateImage+`" alt="" hidden>`), 1)
				res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
				res.Header.Del("Content-Length")
				policy := res.Header.Get("Content-Security-Policy")
				res.Header.Set("Content-Security-Policy", strings.Replace(policy, "img-src", "img-src 'self'", 1))
			}
			return nil
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != lateImage {
			proxy.ServeHTTP(w, r)
			return
		}
		for range messages {
			select {
			case <-told:
			case <-r.Context().Done():
			}
		}
	})
}

// A teller tells of each message that is read.
type teller struct {
	io.ReadCloser
	told chan struct{}
}

func (t *teller) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	for range bytes.Count(p[:n], []byte("\n\n")) {
		select {
		case t.told <- struct{}{}:
		default:
		}
	}
	return n, err
}
