// Package early hears the signals that end the process from its very start. It
// imports so little that it is set up before nearly all other packages, which
// together take longer than an impatient supervisor waits.
//
// Context owns one goroutine, which ends with the context or the process.
package early

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

var signals = hear()

func hear() chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	return c
}

// Context ends with the first SIGTERM or SIGINT since the process began. A second
// one ends the process at once. It is called once.
func Context() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
		}
		signal.Stop(signals)
		cancel()
	}()
	return ctx, cancel
}
