package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"haystream/internal/conf"
	"haystream/replicator"
	"haystream/replicator/commands"
	"haystream/replicator/config"
	"haystream/replicator/dashboards"
	"haystream/replicator/verify"
)

type initCommand struct {
	URL          conf.Secret `arg:"" name:"url" help:"The database: postgres://user@host:5432/database, mysql://… or mariadb://…"`
	PasswordFile string      `placeholder:"FILE" help:"A file with the password, instead of one in the URL."`
	Tables       []string    `placeholder:"NAME" help:"Only these tables, by name or as globs (shop.*); may be given several times."`
}

func (c initCommand) Run(ctx context.Context, e *environment) error {
	return commands.Init(ctx, commands.InitOptions{URL: c.URL, PasswordFile: c.PasswordFile, Tables: c.Tables}, e.out)
}

type runCommand struct{}

func (runCommand) Run(ctx context.Context, e *environment) error {
	cfg, src, err := e.loadAndExplain(ctx)
	if err != nil {
		return err
	}
	return replicator.Run(ctx, versionText(), cfg, src, newLogger(cfg.Log, e.err), e.err)
}

type checkCommand struct{}

func (checkCommand) Run(ctx context.Context, e *environment) error {
	cfg, src, err := e.loadAndExplain(ctx)
	if err != nil {
		return err
	}
	return commands.Check(ctx, cfg, src, e.out)
}

type previewCommand struct {
	Index string `arg:"" help:"Name of a definition under indexes."`
	Limit int    `default:"3" help:"How many documents to print (${default})."`
	Key   string `placeholder:"KEY" help:"Only the row with this key; several columns are joined by commas, or as in a document's id."`
}

func (c previewCommand) Run(ctx context.Context, e *environment) error {
	cfg, src, err := e.loadAndExplain(ctx)
	if err != nil {
		return err
	}
	return commands.Preview(ctx, cfg, src, commands.PreviewOptions{Index: c.Index, Limit: c.Limit, Key: c.Key}, e.out)
}

type adoptCommand struct {
	Index  string `arg:"" help:"Name of a definition under indexes."`
	DryRun bool   `help:"Only say what will be done."`
	Yes    bool   `short:"y" help:"Do not ask."`
}

func (c adoptCommand) Run(ctx context.Context, e *environment) error {
	cfg, _, err := e.load()
	if err != nil {
		return err
	}
	return commands.Adopt(ctx, cfg, commands.AdoptOptions{Index: c.Index, DryRun: c.DryRun, Yes: c.Yes, In: e.in}, e.out)
}

type removeCommand struct {
	Indexes bool `help:"Drop the indexes, too."`
	Yes     bool `short:"y" help:"Do not ask."`
}

func (c removeCommand) Run(ctx context.Context, e *environment) error {
	cfg, _, err := e.load()
	if err != nil {
		return err
	}
	return commands.Remove(ctx, cfg, commands.RemoveOptions{Indexes: c.Indexes, Yes: c.Yes, In: e.in}, e.out)
}

type dashboardsCommand struct {
	For      string      `default:"kibana" enum:"kibana,kibana-7,opensearch,grafana" help:"kibana (9.5 and later), kibana-7 (7.17 to 9), opensearch or grafana (${default})."`
	Out      string      `placeholder:"FILE" help:"Where to write them, instead of standard output; for grafana a folder."`
	Push     conf.Secret `placeholder:"URL" help:"Put them there instead: https://user@kibana:5601, with the path of a space or workspace."`
	User     string      `env:"HAYSTREAM_DASHBOARDS_USER" placeholder:"NAME" help:"Who pushes, where the URL does not say."`
	Password conf.Secret `env:"HAYSTREAM_DASHBOARDS_PASSWORD" hidden:""`
	APIKey   conf.Secret `name:"api-key" env:"HAYSTREAM_DASHBOARDS_API_KEY" hidden:""`
	Force    bool        `help:"Overwrite also what somebody has edited since the last push."`
}

func (c dashboardsCommand) Run(ctx context.Context, e *environment) error {
	switch {
	case c.Push != "" && c.Out != "":
		return &commands.UsageError{Err: errors.New("give --out or --push, not both")}
	case c.Force && c.Push == "":
		return &commands.UsageError{Err: errors.New("--force goes with --push")}
	case c.Push == "" && c.Out == "" && c.For == dashboards.Grafana:
		return &commands.UsageError{Err: errors.New("grafana takes several files; name a folder with --out")}
	}
	push := dashboards.PushOptions{URL: c.Push, User: c.User, Password: c.Password, APIKey: c.APIKey, Force: c.Force}
	if _, err := push.Address(); c.Push != "" && err != nil {
		return &commands.UsageError{Err: err}
	}
	cfg, src, err := e.loadAndExplain(ctx)
	if err != nil {
		return err
	}
	return commands.Dashboards(ctx, cfg, src, commands.DashboardsOptions{For: c.For, Out: c.Out, Push: push}, e.out)
}

type statusCommand struct {
	JSON bool `name:"json" help:"Print the daemon's answer as it is."`
}

func (c statusCommand) Run(ctx context.Context, e *environment) error {
	cfg, _, err := e.load()
	if err != nil {
		return err
	}
	return commands.Status(ctx, cfg, c.JSON, e.out)
}

type pauseCommand struct{}

func (pauseCommand) Run(ctx context.Context, e *environment) error { return e.pause(ctx, true) }

type resumeCommand struct{}

func (resumeCommand) Run(ctx context.Context, e *environment) error { return e.pause(ctx, false) }

func (e *environment) pause(ctx context.Context, pause bool) error {
	cfg, _, err := e.load()
	if err != nil {
		return err
	}
	return commands.Pause(ctx, cfg, pause, e.out)
}

type reindexCommand struct {
	Indexes    []string `arg:"" name:"index" help:"Names of definitions under indexes."`
	Wait       bool     `help:"Wait until the new ones serve."`
	ForceMerge bool     `help:"Merge the segments of each shard into one before it serves: smaller and faster, where few documents change."`
}

func (c reindexCommand) Run(ctx context.Context, e *environment) error {
	cfg, _, err := e.load()
	if err != nil {
		return err
	}
	return commands.Reindex(ctx, cfg, commands.ReindexOptions{Indexes: c.Indexes, Wait: c.Wait, ForceMerge: c.ForceMerge}, e.out)
}

type verifyCommand struct {
	Indexes []string `arg:"" optional:"" name:"index" help:"Names of definitions under indexes; all without any."`
	Repair  bool     `help:"Mend what differs: documents are written or deleted, stored rows are read again."`
	Rate    int      `placeholder:"N" help:"Rows a second at most."`
	Sample  string   `placeholder:"P%" help:"Compare about so many percent of the rows, the same ones each time."`
	JSON    bool     `name:"json" help:"Print the daemon's reports as they are."`
}

func (c verifyCommand) Run(ctx context.Context, e *environment) error {
	if c.Rate < 0 {
		return &commands.UsageError{Err: errors.New("--rate is how many rows a second")}
	}
	options := verify.Options{Repair: c.Repair, Rate: c.Rate}
	if c.Sample != "" {
		var err error
		if options.Sample, err = verify.ParsePercent(c.Sample); err != nil {
			return &commands.UsageError{Err: fmt.Errorf("--sample: %w", err)}
		}
	}
	cfg, _, err := e.load()
	if err != nil {
		return err
	}
	return commands.Verify(ctx, cfg, commands.VerifyOptions{Options: options, Indexes: c.Indexes, JSON: c.JSON}, e.out, e.err)
}

type deadLettersCommand struct {
	List   listLetters   `cmd:"" help:"List them, the latest first."`
	Show   showLetter    `cmd:"" help:"Print one with its document and the reason."`
	Replay replayLetters `cmd:"" help:"Send their documents again, at their versions: a later state that is there stays."`
	Drop   dropLetters   `cmd:"" help:"Delete them: their documents stay as they are in the index, until their rows change."`
}

type listLetters struct {
	Index string `placeholder:"INDEX" help:"Only those of this definition's index."`
	Limit int    `default:"100" help:"How many (${default})."`
	After string `placeholder:"PLACE" help:"Those after the place that an earlier list has named."`
	JSON  bool   `name:"json" help:"Print the daemon's answer as it is."`
}

func (c listLetters) Run(ctx context.Context, e *environment) error {
	cfg, _, err := e.load()
	if err != nil {
		return err
	}
	return commands.DeadLetters(ctx, cfg, commands.DeadLettersOptions{Index: c.Index, Limit: c.Limit, After: c.After, JSON: c.JSON}, e.out)
}

type showLetter struct {
	Key string `arg:"" help:"Its key, as list has it."`
}

func (c showLetter) Run(ctx context.Context, e *environment) error {
	cfg, _, err := e.load()
	if err != nil {
		return err
	}
	return commands.ShowDeadLetter(ctx, cfg, c.Key, e.out)
}

// whichLetters are those that a command is about.
type whichLetters struct {
	Keys  []string `arg:"" optional:"" name:"key" help:"Their keys, as list has them."`
	Index string   `placeholder:"INDEX" help:"All of this definition's index."`
	All   bool     `help:"All."`
}

func (c whichLetters) which() (commands.WhichDeadLetters, error) {
	ways := 0
	for _, said := range []bool{len(c.Keys) > 0, c.Index != "", c.All} {
		if said {
			ways++
		}
	}
	if ways != 1 {
		return commands.WhichDeadLetters{}, &commands.UsageError{Err: errors.New("say which dead letters: their keys, --index or --all")}
	}
	return commands.WhichDeadLetters{Keys: c.Keys, Index: c.Index}, nil
}

type replayLetters struct{ whichLetters }

func (c replayLetters) Run(ctx context.Context, e *environment) error {
	return c.run(ctx, e, commands.ReplayDeadLetters)
}

type dropLetters struct{ whichLetters }

func (c dropLetters) Run(ctx context.Context, e *environment) error {
	return c.run(ctx, e, commands.DropDeadLetters)
}

func (c whichLetters) run(ctx context.Context, e *environment, do func(context.Context, *config.Config, commands.WhichDeadLetters, io.Writer) error) error {
	which, err := c.which()
	if err != nil {
		return err
	}
	cfg, _, err := e.load()
	if err != nil {
		return err
	}
	return do(ctx, cfg, which, e.out)
}

type versionCommand struct{}

func (versionCommand) Run(e *environment) error {
	_, err := fmt.Fprintf(e.out, "haystream %s (%s)\n", versionText(), runtime.Version())
	return err
}

// version and commit are set by the linker in releases.
var version, commit string

// versionText is the version and the commit, from the linker or from what the
// go command noted in the binary.
func versionText() string {
	v, c := version, commit
	if info, ok := debug.ReadBuildInfo(); ok {
		if v == "" {
			v = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && c == "" {
				c = s.Value
			}
		}
	}
	if v == "" || v == "(devel)" {
		v = "development"
	}
	if c != "" {
		v += ", commit " + c[:min(len(c), 12)]
	}
	return v
}
