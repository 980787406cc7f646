package commands

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"haystream/replicator/config"
	"haystream/replicator/web"
)

// A daemon is the one that runs with a config, as commands reach it: over HTTP.
type daemon struct {
	url   string
	token string
}

// runningDaemon is where the config says that the daemon listens.
func runningDaemon(cfg config.HTTPConfig) (*daemon, error) {
	if cfg.Listen == "" {
		return nil, errors.New("http.listen is empty: the daemon answers no requests")
	}
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("parse http.listen: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return &daemon{url: "http://" + net.JoinHostPort(host, port), token: cfg.Token.Reveal()}, nil
}

// askFor is how long an answer may take.
const askFor = 30 * time.Second

// errNoDaemon means that nothing answers.
var errNoDaemon = errors.New("no daemon answers; is it running?")

// errInterrupted means that somebody has ended the command while it waited for the daemon.
var errInterrupted = errors.New("interrupted")

// answer sends a request, with a body of JSON unless that is nil, and returns the answer's body. An
// answer that is no success is an error in the daemon's words.
func (d *daemon) answer(ctx context.Context, method, path string, body any) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	var sent io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		sent = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, d.url+path, sent)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w", err)
	}
	if d.token != "" {
		request.Header.Set("Authorization", "Bearer "+d.token)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w %w", errNoDaemon, err)
	}
	answer, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the daemon's answer: %w", err)
	case response.StatusCode == http.StatusUnauthorized:
		return nil, fmt.Errorf("%s does not take http.token; give the config that the daemon runs with", d.url)
	case response.StatusCode/100 != 2:
		var refused struct{ Error string }
		if json.Unmarshal(answer, &refused) == nil && refused.Error != "" {
			return nil, errors.New(refused.Error)
		}
		return nil, fmt.Errorf("%s answers %s: %s", d.url+path, response.Status, bytes.TrimSpace(answer))
	}
	return answer, nil
}

// ask is answer for an answer of JSON.
func (d *daemon) ask(ctx context.Context, method, path string, body, out any) error {
	answer, err := d.answer(ctx, method, path, body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	return nil
}

// Status prints the running daemon's status, for people or as the JSON that it is.
func Status(ctx context.Context, cfg *config.Config, asJSON bool, out io.Writer) error {
	d, err := runningDaemon(cfg.HTTP)
	if err != nil {
		return err
	}
	answer, err := d.answer(ctx, http.MethodGet, "/status", nil)
	if err != nil {
		return err
	}
	if asJSON {
		_, err := out.Write(answer)
		return err
	}
	var s web.Status
	if err := json.Unmarshal(answer, &s); err != nil {
		return fmt.Errorf("parse status: %w", err)
	}
	return s.Print(out)
}

// Pause has the running daemon stop reading and delivering, or go on.
func Pause(ctx context.Context, cfg *config.Config, pause bool, out io.Writer) error {
	d, err := runningDaemon(cfg.HTTP)
	if err != nil {
		return err
	}
	path, said := "/resume", "resumed\n"
	if pause {
		path, said = "/pause", "paused: nothing is read or delivered until `haystream resume`; the source keeps its log meanwhile\n"
	}
	if _, err := d.answer(ctx, http.MethodPost, path, nil); err != nil {
		return err
	}
	_, err = io.WriteString(out, said)
	return err
}
