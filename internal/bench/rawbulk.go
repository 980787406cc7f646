package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"
)

// What the daemon does by default.
const (
	bulkBytes = 5 << 20
	bulkLanes = 4
)

// bulk posts ready-made lines, as many and as large requests at a time as the
// daemon sends, compressed on the way as the daemon's are, and times it.
func (s *search) bulk(ctx context.Context, lines []byte) (time.Duration, error) {
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	parts := make(chan []byte)
	g.Go(func() error {
		defer close(parts)
		for len(lines) > 0 {
			n := cut(lines, bulkBytes)
			select {
			case parts <- lines[:n]:
			case <-ctx.Done():
				return ctx.Err()
			}
			lines = lines[n:]
		}
		return nil
	})
	for range bulkLanes {
		g.Go(func() error {
			var body bytes.Buffer
			packer, err := gzip.NewWriterLevel(&body, gzip.BestSpeed)
			if err != nil {
				return err
			}
			for part := range parts {
				body.Reset()
				packer.Reset(&body)
				if _, err := packer.Write(part); err != nil {
					return err
				}
				if err := packer.Close(); err != nil {
					return err
				}
				if err := s.post(ctx, body.Bytes()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, fmt.Errorf("post ready-made lines: %w", err)
	}
	return time.Since(began), nil
}

// cut is the length of the first whole pairs of lines within a limit, but of
// one at least.
func cut(lines []byte, limit int) int {
	if len(lines) <= limit {
		return len(lines)
	}
	n := 0
	for {
		pair := n
		for range 2 {
			pair += bytes.IndexByte(lines[pair:], '\n') + 1
		}
		if pair > limit && n > 0 {
			return n
		}
		n = pair
	}
}

// post sends one compressed request.
func (s *search) post(ctx context.Context, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/_bulk?filter_path=errors", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-ndjson")
	request.Header.Set("Content-Encoding", "gzip")
	answer, err := s.do(request)
	if err != nil {
		return err
	}
	if !bytes.Contains(answer, []byte(`"errors":false`)) {
		return errors.New("some lines were refused")
	}
	return nil
}
