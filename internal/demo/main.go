// Command demo shows Haystream at work: a database that looks like a Django blog, a load that keeps changing it, and a view of the
// documents that follow. With -check it compares every document with its row instead, and fails where one differs.
//
// Guarantee: whatever it started ends with it, and no file is left. It writes to no database that has tables of its own.
// Goroutines: the daemon's keeper, one for each writer of the load, one for presses of the button, its page's, one for the view; all
// have ended when main returns.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

type options struct {
	check    bool
	duration time.Duration
	dialect  dialect
	kind     string
	version  string // empty: the best one that can be had
	config   string
	steps    int

	// Outside servers; empty: the demo's own.
	database, elastic, status, token string
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err = run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.BoolVar(&o.check, "check", false, "compare tables with indexes after the duration, and exit 0 or 1")
	flags.DurationVar(&o.duration, "duration", 20*time.Second, "how long the load runs before -check compares")
	database := flags.String("db", "postgres", "kind of database, and its version where that matters: postgres, postgres:15, mysql, mariadb")
	flags.StringVar(&o.config, "config", "testdata/demo/config.yaml", "the daemon's configuration")
	flags.IntVar(&o.steps, "load", 40, "transactions of the load in a second")
	flags.StringVar(&o.database, "database", os.Getenv("DEMO_DATABASE_URL"), "URL of an outside database to use instead of an own one (DEMO_DATABASE_URL)")
	flags.StringVar(&o.elastic, "elasticsearch", os.Getenv("DEMO_ES_URL"), "URL of an outside Elasticsearch (DEMO_ES_URL)")
	flags.StringVar(&o.status, "status", os.Getenv("DEMO_STATUS_URL"), "URL of an outside daemon's /status (DEMO_STATUS_URL)")
	o.token = os.Getenv("DEMO_TOKEN")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	o.kind, o.version, _ = strings.Cut(*database, ":")
	var err error
	o.dialect, err = dialectOf(o.kind)
	return o, err
}

// run returns nil when the guest has seen enough, or when the check found no difference.
func run(ctx context.Context, o options) (err error) {
	s, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	fmt.Println("filling the sample database")
	if err := createBlog(ctx, s.db); err != nil {
		return err
	}
	l, b := newLoad(s.db, o.steps), newButton(s)
	daemonCtx, stopDaemon := context.WithCancel(ctx)
	defer stopDaemon()
	g, ctx := errgroup.WithContext(ctx)
	if s.daemon != nil {
		g.Go(func() error { return s.daemon.run(daemonCtx) })
	}
	g.Go(func() error {
		defer stopDaemon()
		if o.check {
			return check(ctx, s, l, b, o.duration)
		}
		return show(ctx, s, l, b)
	})
	return g.Wait()
}

// open starts the servers, or takes those that were given.
func open(ctx context.Context, o options) (*stage, error) {
	if o.database != "" || o.elastic != "" {
		return outside(o)
	}
	fmt.Printf("starting %s and Elasticsearch, building haystream; the first time downloads them\n", o.dialect.product)
	return inside(ctx, o)
}

// show runs load, the page with a button and the view until ctx ends.
func show(ctx context.Context, s *stage, l *load, b *button) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.run(ctx) })
	if s.status != "" {
		listener, err := b.listen(ctx)
		if err != nil {
			return err
		}
		s.button = "http://" + listener.Addr().String() + "/"
		g.Go(func() error { return b.serve(ctx, listener) })
		g.Go(func() error { return b.run(ctx) })
	}
	if s.daemon != nil {
		var err error
		if s.boards, err = s.daemon.dashboards(ctx); err != nil {
			return err
		}
	}
	g.Go(func() error {
		return watch(ctx, os.Stdout, newSampler(s, l))
	})
	err := g.Wait()
	fmt.Printf("stopping after %s changed rows and %s events\n", amount(l.writes.Load()), amount(int64(b.presses())))
	return err
}
