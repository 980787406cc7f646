package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"haystream/replicator"
	"haystream/replicator/commands"
	"haystream/replicator/web"
)

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
	Key   string `placeholder:"KEY" help:"Only the row with this key; several columns are joined by commas."`
}

func (c previewCommand) Run(ctx context.Context, e *environment) error {
	cfg, src, err := e.loadAndExplain(ctx)
	if err != nil {
		return err
	}
	return commands.Preview(ctx, cfg, src, commands.PreviewOptions{Index: c.Index, Limit: c.Limit, Key: c.Key}, e.out)
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

type statusCommand struct {
	JSON bool `name:"json" help:"Print the daemon's answer as it is."`
}

func (c statusCommand) Run(ctx context.Context, e *environment) error {
	cfg, _, err := e.load()
	if err != nil {
		return err
	}
	return web.ShowStatus(ctx, cfg, c.JSON, e.out)
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
