// Package config is the YAML file: its settings, their defaults, what is wrong with them,
// and the source and the sink that they describe. It reads files and connects to nothing.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"haystream/internal/conf"
	"haystream/mapping"
	"haystream/replicator/widgets"
	"haystream/sinks/kinds"
	"haystream/sources"
	"haystream/sources/events"
)

// Config is one pipeline: everything that its YAML file says.
type Config struct {
	// Name of the pipeline. It names the checkpoint, and slot and publication
	// where these are not set.
	Name string `yaml:"name"`

	// TimeZone is what templates and expressions show times in, by its name in the tz
	// database, such as Europe/Berlin. Documents hold times as they are.
	TimeZone string `yaml:"time_zone"`

	// Include lists more files, as globs relative to this one, that hold
	// further indexes, tables and widgets.
	Include []string `yaml:"include"`

	// Source is the database that is tailed. A pipeline of events only has none.
	Source sources.Config `yaml:"source"`

	// Sink is where documents go.
	Sink kinds.Config `yaml:"sink"`

	// HTTP is where the daemon shows its page and answers for health, metrics, status and widgets.
	HTTP HTTPConfig `yaml:"http"`

	// Log says what is logged, and how.
	Log LogConfig `yaml:"log"`

	// State is what the daemon keeps on its own disk.
	State StateConfig `yaml:"state"`

	// Limits keep the daemon within bounds.
	Limits LimitsConfig `yaml:"limits"`

	// Tables says what the catalog cannot tell about a table, by its name
	// (schema.table; the schema may be left out).
	Tables map[string]*mapping.TableConfig `yaml:"tables"`

	// Indexes are the definitions: which documents are made of which rows.
	Indexes map[string]*mapping.Definition `yaml:"indexes"`

	// Widgets are numbers, lists and graphs of what is in the indexes, on the daemon's page
	// and as JSON.
	Widgets widgets.Set `yaml:"widgets"`

	// Verify has the daemon compare all indexes with their rows by itself.
	Verify VerifyConfig `yaml:"verify"`

	ofEvents bool // this is a part, see Parts
}

// HTTPConfig is the `http:` section.
type HTTPConfig struct {
	// Listen is the address to answer on, host:port. An empty text turns HTTP off.
	Listen string `yaml:"listen"`

	// Token must be sent (Authorization: Bearer …, or as the password of basic
	// authentication, with any user name) with requests that change something, and beyond
	// this machine with all but those for health and metrics. It is required to listen there.
	Token conf.Secret `yaml:"token"`
}

// LogConfig is the `log:` section.
type LogConfig struct {
	// Level is the lowest level logged: debug, info, warn or error.
	Level string `yaml:"level"`

	// Format is json, console, or auto: console on a terminal, json otherwise.
	Format string `yaml:"format"`
}

// StateConfig is the `state:` section.
type StateConfig struct {
	// Path is a folder of the daemon's own, relative to the working directory.
	Path string `yaml:"path"`
}

// LimitsConfig is the `limits:` section.
type LimitsConfig struct {
	// MaxMemory is what all queues, chunks and batches together may hold. A
	// single row that is larger passes alone.
	MaxMemory conf.Bytes `yaml:"max_memory"`

	// MaxDeadLetters is how many refused documents are put up with before the
	// pipeline stops.
	MaxDeadLetters int `yaml:"max_dead_letters"`

	// MaxEventQueue is how many bytes of events may wait on disk. What is pushed beyond
	// is refused.
	MaxEventQueue conf.Bytes `yaml:"max_event_queue"`

	// MaxRetainedLog gives the replication slot up, loudly, when the server
	// keeps more log than this for it; a new snapshot follows. 0 never does.
	// PostgreSQL only.
	MaxRetainedLog conf.Bytes `yaml:"max_retained_log"`
}

// VerifyConfig is the `verify:` section.
type VerifyConfig struct {
	// Every is how often all indexes are compared with their rows, one after the other, such
	// as 24h. 0: only when somebody asks.
	Every conf.Duration `yaml:"every"`

	// At is the time of day at which the first of these begins, on a Monday, in time_zone, such as 03:00. Midnight by default.
	At string `yaml:"at"`
}

// Next is when the next comparison is due after a moment, in its location; the zero time: never. All moments follow from
// the first one, on a Monday, so that restarts move none.
func (v VerifyConfig) Next(after time.Time) time.Time {
	const day = 24 * time.Hour
	every := time.Duration(v.Every)
	if every == 0 {
		return time.Time{}
	}
	at, _ := time.Parse("15:04", v.At) // without one: midnight
	first := time.Date(2001, 1, 1, at.Hour(), at.Minute(), 0, 0, after.Location())
	moment := func(n int) time.Time { return first.Add(time.Duration(n) * every) }
	if every%day == 0 { // by the calendar: some days have an hour more or less
		moment = func(n int) time.Time { return first.AddDate(0, 0, n*int(every/day)) }
	}
	n := int(after.Sub(first)/every) - 1
	for !moment(n).After(after) {
		n++
	}
	return moment(n)
}

// New is a Config with every default, and both kinds of sink.
func New() *Config {
	return &Config{
		TimeZone: "UTC",

		Source: sources.Config{Tinyint1: sources.Tinyint1Boolean, InvalidUTF8: sources.InvalidReplace, Snapshot: sources.SnapshotConfig{ChunkRows: 10_000, Parallel: 2}},
		Sink:   kinds.NewConfig(),
		HTTP:   HTTPConfig{Listen: "127.0.0.1:9600"},
		Log:    LogConfig{Level: "info", Format: "auto"},
		State:  StateConfig{Path: "./state"},
		Limits: LimitsConfig{MaxMemory: 96 << 20, MaxDeadLetters: 1000, MaxEventQueue: 1 << 30},
	}
}

// Load reads a config file, its includes, templates and secret files. The
// error is conf.Errors, all mistakes at once, or one about the file itself.
// Nothing beyond files is touched. Even with conf.Errors the Config is filled
// as far as it could be understood.
func Load(path string) (*Config, *conf.Source, error) {
	c := New()
	src, err := conf.Load(path, c, "indexes", "tables", "widgets")
	var errs conf.Errors
	if err != nil && !errors.As(err, &errs) {
		return nil, src, err
	}
	if unread(src, errs) {
		return c, src, errs.Err()
	}
	c.derive()
	errs = merge(src, errs, c.readSecrets(src), c.validate(src), c.readTemplates(src))
	errs = merge(src, errs, c.checkDefinitions(src), c.checkWidgets(src))
	return c, src, errs.Err()
}

// unread reports whether the main file could not be read as a whole: what is
// missing then follows from that.
func unread(src *conf.Source, errs conf.Errors) bool {
	return slices.ContainsFunc(errs, func(e conf.Error) bool { return e.Path == "" && e.File == src.Path })
}

// merge adds to the mistakes in known those that do not only follow from them.
func merge(src *conf.Source, known conf.Errors, more ...conf.Errors) conf.Errors {
	all := slices.Clone(known)
	for _, e := range slices.Concat(more...) {
		if !covered(src, e, known) {
			all = append(all, e)
		}
	}
	return all
}

// covered reports whether e only follows from a mistake that is in errs:
// something below it, a section around it that could not be read, a mistyped
// name for it, or an included file that may hold it.
func covered(src *conf.Source, e conf.Error, errs conf.Errors) bool {
	return slices.ContainsFunc(errs, func(other conf.Error) bool {
		parent := other.Path[:strings.LastIndexByte(other.Path, '.')+1]
		meant := parent + other.Near
		return other.Path == e.Path || strings.HasPrefix(other.Path, e.Path+".") && !aboutName(e) ||
			strings.HasPrefix(e.Path, other.Path+".") && !src.Has(e.Path) ||
			other.Near != "" && strings.HasPrefix(e.Path+".", meant+".") && !src.Has(e.Path) ||
			e.Path == "indexes" && (other.Path == "" || strings.HasPrefix(other.Path, "include"))
	})
}

// aboutName reports whether a mistake is in the name of a definition or table,
// not in what stands below it.
func aboutName(e conf.Error) bool {
	section, _, named := strings.Cut(e.Path, ".")
	return named && (section == "indexes" && strings.Count(e.Path, ".") == 1 || section == "tables")
}

// derive fills in what follows from other settings.
func (c *Config) derive() {
	if c.Source.Slot == "" {
		c.Source.Slot = identifier(c.Name)
	}
	if c.Source.Publication == "" {
		c.Source.Publication = identifier(c.Name)
	}
	if c.Source.ServerID == 0 {
		c.Source.ServerID = max(hash(c.Name), 1)
	}
}

// maxIdentifier is PostgreSQL's limit on the length of a name, in bytes.
const maxIdentifier = 63

// identifier makes a pipeline's name one that a replication slot may have:
// a-z, 0-9 and _. Where that changes it, a few digits of its hash keep two
// pipelines' slots apart.
func identifier(name string) string {
	slot := "haystream_" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, strings.ToLower(name))
	if slot == "haystream_"+name && len(slot) <= maxIdentifier {
		return slot
	}
	suffix := fmt.Sprintf("_%06x", hash(name)>>8)
	return slot[:min(len(slot), maxIdentifier-len(suffix))] + suffix
}

func hash(name string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return h.Sum32()
}

// StoreDir is the row store's folder. Events need none.
func (c *Config) StoreDir() string {
	if c.ofEvents {
		return filepath.Join(c.State.Path, c.Name, "rows-of-events")
	}
	return filepath.Join(c.State.Path, c.Name, "rows")
}

// VerifyDir is the folder of what a comparison needs on disk while it runs.
func (c *Config) VerifyDir() string { return filepath.Join(c.State.Path, c.Name, "verify") }

// VerifyFile keeps what was found. Events are in no table, and not compared.
func (c *Config) VerifyFile() string {
	if c.ofEvents {
		return filepath.Join(c.State.Path, c.Name, "verify-of-events.json")
	}
	return filepath.Join(c.State.Path, c.Name, "verify.json")
}

// QueueDir is the event queue's folder.
func (c *Config) QueueDir() string { return filepath.Join(c.State.Path, c.Name, "queue") }

// Set is what the mapping is compiled from.
func (c *Config) Set() mapping.Set {
	return mapping.Set{Indexes: c.Indexes, Tables: c.Tables, TimeZone: c.TimeZone}
}

// readTemplates puts the content of every template_file in its place.
func (c *Config) readTemplates(src *conf.Source) conf.Errors {
	set := c.Set()
	return Located(set.ReadTemplates(os.DirFS(filepath.Dir(src.Path))), src)
}

// checkDefinitions finds what is wrong with definitions whatever the tables are like.
func (c *Config) checkDefinitions(src *conf.Source) conf.Errors {
	errs := Located(c.Set().Check(c.Sink.Rules()), src).With(c.checkEvents(src)...)
	errs.Sort()
	return errs
}

// checkEvents finds all that is wrong with definitions over events, and with widgets of their indexes: no
// catalog has to be asked.
func (c *Config) checkEvents(src *conf.Source) conf.Errors {
	part := c.Part(true)
	if part == nil {
		return nil
	}
	plan, err := mapping.Options{Rules: c.Sink.Rules()}.Compile(events.Catalog(c.Set().EventNames()), part.Set())
	if err == nil {
		err = part.Widgets.Fit(part.Set(), plan.Sets[0]).Err()
	}
	return Located(err, src)
}

// checkWidgets finds what is wrong with widgets whatever the tables are like.
func (c *Config) checkWidgets(src *conf.Source) conf.Errors {
	errs := Located(c.Widgets.Check(c.Indexes).Err(), src)
	if sink := c.Sink.Name(); len(c.Widgets) > 0 && sink != "" && !c.Sink.Rules().Searches {
		errs = append(errs, src.Errorf("widgets", "the sink %s cannot be searched; take the widgets out, or send the documents to elasticsearch", sink))
	}
	return errs
}

// WidgetNames are the widgets in the order of the files.
func (c *Config) WidgetNames(src *conf.Source) []string {
	return slices.SortedFunc(maps.Keys(c.Widgets), func(a, b string) int {
		fileA, lineA := src.Position("widgets." + a)
		fileB, lineB := src.Position("widgets." + b)
		return cmp.Or(cmp.Compare(fileA, fileB), cmp.Compare(lineA, lineB), cmp.Compare(a, b))
	})
}

// Located gives the problems of definitions, which err consists of, their places in
// the config files.
func Located(err error, src *conf.Source) conf.Errors {
	var problems mapping.Problems
	if err != nil && !errors.As(err, &problems) {
		problems = mapping.Problems{{Path: "indexes", Message: err.Error()}}
	}
	errs := make(conf.Errors, 0, len(problems))
	for _, p := range problems {
		errs = append(errs, src.Errorf(p.Path, "%s", p.Message))
	}
	errs.Sort()
	return errs
}
