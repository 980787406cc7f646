// Command haystream keeps Elasticsearch a live, queryable copy of the database
// tables that a YAML file names.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/alecthomas/kong"
	"github.com/mattn/go-isatty"

	"haystream/internal/conf"
	"haystream/internal/early"
	"haystream/replicator/commands"
	"haystream/replicator/config"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // wrong usage or config
)

type commandLine struct {
	Config string `short:"c" default:"config.yaml" placeholder:"FILE" help:"Config file (${default})."`

	Init       initCommand       `cmd:"" help:"Print a config that has a definition for each table of a database. Changes nothing."`
	Run        runCommand        `cmd:"" help:"Replicate until stopped."`
	Check      checkCommand      `cmd:"" help:"Look at the config, the database and the sink, and say what is wrong. Changes nothing."`
	Preview    previewCommand    `cmd:"" help:"Print the documents and the mapping that real rows would give. Writes nothing."`
	Adopt      adoptCommand      `cmd:"" help:"Take the place of an index or alias that the daemon did not make. Says what will be done first."`
	Remove     removeCommand     `cmd:"" help:"Drop the checkpoint, the row store, and in PostgreSQL the replication slot and the publication."`
	Dashboards dashboardsCommand `cmd:"" help:"Write the widgets and indexes as dashboards of Kibana, OpenSearch Dashboards or Grafana, or put them there."`

	Status  statusCommand  `cmd:"" help:"Show what the running daemon does."`
	Pause   pauseCommand   `cmd:"" help:"Have the running daemon read and deliver nothing, until resume. The source keeps its log."`
	Resume  resumeCommand  `cmd:"" help:"Have the running daemon go on after pause."`
	Reindex reindexCommand `cmd:"" help:"Have the running daemon build indexes anew beside those that serve, and swap."`
	Verify  verifyCommand  `cmd:"" help:"Have the running daemon compare documents with their rows, and mend what differs. Exits with 1 where anything did, mended or not."`

	DeadLetters deadLettersCommand `cmd:"" help:"See to the documents that the sink refused, through the running daemon."`

	Version versionCommand `cmd:"" help:"Print the version."`
}

// environment is what a command gets from the process.
type environment struct {
	config string
	in     io.Reader // nil where nobody is there to answer
	out    *os.File
	err    *os.File
}

func main() { os.Exit(run()) }

// run is the process but for its exit.
func run() int {
	ctx, stop := early.Context()
	defer stop()
	var line commandLine
	parser, err := kong.New(&line, kong.Name("haystream"),
		kong.Description("Keeps Elasticsearch a live, queryable copy of database tables."))
	if err != nil {
		return fail(err)
	}
	command, err := parser.Parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "haystream: %v\nsee haystream --help\n", err)
		return exitUsage
	}
	env := &environment{config: line.Config, out: os.Stdout, err: os.Stderr}
	if isatty.IsTerminal(os.Stdin.Fd()) {
		env.in = os.Stdin
	}
	command.BindTo(ctx, (*context.Context)(nil))
	return fail(command.Run(env))
}

// fail prints an error and is the exit code for it.
func fail(err error) int {
	if err == nil {
		return exitOK
	}
	if _, ok := errors.AsType[conf.Errors](err); ok {
		fmt.Fprintln(os.Stderr, err)
		return exitUsage
	}
	fmt.Fprintln(os.Stderr, "haystream:", err)
	if _, ok := errors.AsType[*commands.UsageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

// load reads the config file. One that cannot be read is wrong usage.
func (e *environment) load() (*config.Config, *conf.Source, error) {
	cfg, src, err := config.Load(e.config)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, &commands.UsageError{Err: fmt.Errorf("there is no config file %s; name one with -c", e.config)}
	}
	if _, mistakes := errors.AsType[conf.Errors](err); err != nil && !mistakes {
		return nil, nil, &commands.UsageError{Err: err}
	}
	return cfg, src, err
}

// loadAndExplain reads the config file; when there are mistakes it asks the
// catalog for more of them, so that all are told at once.
func (e *environment) loadAndExplain(ctx context.Context) (*config.Config, *conf.Source, error) {
	cfg, src, err := e.load()
	if mistakes, ok := errors.AsType[conf.Errors](err); ok {
		err = commands.Explain(ctx, cfg, src, mistakes)
	}
	return cfg, src, err
}
