package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"haystream/internal/conf"
	"haystream/replicator/config"
)

// ShowStatus asks the running daemon for its status and prints it, for people
// or as the JSON that it is.
func ShowStatus(ctx context.Context, cfg *config.Config, asJSON bool, out io.Writer) error {
	body, err := fetchStatus(ctx, cfg.HTTP.Listen)
	if err != nil {
		return err
	}
	if asJSON {
		_, err := out.Write(body)
		return err
	}
	var s Status
	if err := json.Unmarshal(body, &s); err != nil {
		return fmt.Errorf("parse status: %w", err)
	}
	return s.print(out)
}

func fetchStatus(ctx context.Context, listen string) ([]byte, error) {
	if listen == "" {
		return nil, errors.New("http.listen is empty: the daemon answers no requests")
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("parse http.listen: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	url := "http://" + net.JoinHostPort(host, port) + "/status"
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for status: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("no daemon answers; is it running? %w", err)
	}
	body, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	switch {
	case err != nil:
		return nil, fmt.Errorf("read status: %w", err)
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answers %s", url, response.Status)
	}
	return body, nil
}

// print is the status for people: the pipeline, then a line per index.
func (s Status) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if _, err := io.WriteString(w, s.lines()); err != nil {
		return fmt.Errorf("print status: %w", err)
	}
	return w.Flush()
}

// lines is the status with tabs between its columns.
func (s Status) lines() string {
	var b strings.Builder
	state := s.State
	if s.Reason != "" {
		state += ": " + s.Reason
	}
	sink := "answers"
	if !s.Sink.Healthy {
		sink = s.Sink.Reason
	}
	fmt.Fprintf(&b, "pipeline\t%s, %s\n", s.Name, state)
	fmt.Fprintf(&b, "version\t%s, up since %s\n", s.Version, s.Since.Format(time.RFC3339))
	fmt.Fprintf(&b, "source\t%s %s at %s\n", s.Source.Kind, s.Source.Version, s.Source.Address)
	fmt.Fprintf(&b, "position\t%s\n", s.Source.Position)
	fmt.Fprintf(&b, "lag\t%.1f s, %s of log", s.Source.LagSeconds, size(s.Source.LagBytes))
	if s.Source.RetainedBytes >= 0 { // a server that keeps its log by its own rules keeps none for us
		fmt.Fprintf(&b, "; the server keeps %s for it", size(s.Source.RetainedBytes))
	}
	b.WriteByte('\n')
	fmt.Fprintf(&b, "sink\t%s %s at %s, %s\n", s.Sink.Kind, s.Sink.Version, s.Sink.Address, sink)
	if len(s.Indexes) > 0 {
		b.WriteString("\nINDEX\tPHYSICAL INDEX\tWRITTEN\tDELETED\tDEAD LETTERS\tSNAPSHOT\n")
	}
	for _, i := range s.Indexes {
		physical := i.Physical
		if i.Building != "" {
			physical += " (building " + i.Building + ")"
		}
		fmt.Fprintf(&b, "%s\t%s\t%d\t%d\t%d\t%s\n", i.Alias, physical, i.Written, i.Deleted, i.DeadLetters, i.Snapshot)
	}
	return b.String()
}

// String is how far a snapshot is, for people.
func (s SnapshotStatus) String() string {
	if s.State == "done" {
		return fmt.Sprintf("done, %d rows", s.RowsDone)
	}
	text := fmt.Sprintf("%s, %d of about %d rows", s.State, s.RowsDone, s.RowsEstimated)
	if s.ETASeconds >= 0 {
		text += ", " + (time.Duration(s.ETASeconds) * time.Second).String() + " left"
	}
	return text
}

// size is a number of bytes for people; negative is not known.
func size(n int64) string {
	if n < 0 {
		return "an unknown size"
	}
	return conf.Bytes(n).String()
}
