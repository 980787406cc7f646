package endtoend

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"

	"haystream/internal/servers"
)

// A scenario is what happens while the rows of all checks change and change again.
type scenario struct {
	name    string
	run     func(*trial)
	on      string // the kinds of servers; all where empty
	own     bool   // the server is its own
	replica bool   // it has a replica
	stays   bool   // no index is built anew by it
	loses   bool   // what is in the log only is lost
	older   bool   // the last release's program runs first
}

var scenarios = []scenario{
	{name: "calm", stays: true, run: func(m *trial) { m.change(); m.again() }},
	{name: "restart", stays: true, run: func(m *trial) { m.change(); m.stop(); m.again(); m.start() }},
	{name: "kill", stays: true, run: killed},
	{name: "sink away", stays: true, run: sinkAway},
	{name: "source cut", stays: true, run: sourceCut},
	{name: "failover", stays: true, own: true, replica: true, on: "mysql mariadb", run: failover},
	{name: "definition changed", run: definitionChanged},
	{name: "log lost", own: true, loses: true, run: logLost},
	{name: "upgrade", older: true, run: upgraded},
	{name: "failover to a standby", stays: true, own: true, replica: true, on: servers.Postgres, run: failover},
}

// TestMatrix runs every check in every scenario: the checks of one share a daemon.
// Each scenario is on one kind of database, and on all servers with all versions.
func TestMatrix(t *testing.T) {
	for n, s := range scenarios {
		for _, server := range s.servers() {
			if !s.mine(n, server.Spec.Kind) {
				continue
			}
			t.Run(s.name+" on "+server.Spec.Kind+server.Spec.Version, func(t *testing.T) {
				t.Parallel()
				newTrial(t, &s, server).all()
			})
		}
	}
}

// servers are those that the scenario may be on. Whether a standby has the slot depends on its version.
func (s *scenario) servers() (all []*servers.Shared) {
	if s.on != servers.Postgres {
		return databases()
	}
	for _, version := range servers.PostgresVersions() {
		spec := postgres.Spec
		spec.Version = version
		all = append(all, &servers.Shared{Spec: spec})
	}
	return all
}

// mine shares the scenarios out.
func (s *scenario) mine(n int, kind string) bool {
	if s.on != "" && !strings.Contains(" "+s.on+" ", " "+kind+" ") {
		return false
	}
	turn := map[string]int{servers.Postgres: 0, servers.MySQL: 1, servers.MariaDB: 2}[kind]
	return os.Getenv("HAYSTREAM_TEST_VERSIONS") == "all" || s.on == kind || n%3 == turn
}

// A trial is a world with all checks that it can make, and one scenario.
type trial struct {
	*world
	top            *testing.T
	scenario       *scenario
	checks         []check
	changed        bool // the definitions are other ones
	anew           bool // the log does not go on, so that indexes are built anew
	replica        *replica
	source, target *cutter
}

func newTrial(t *testing.T, s *scenario, shared *servers.Shared) *trial {
	m, server, program := &trial{top: t, scenario: s}, shared, ""
	if s.older {
		program = lastRelease(t)
	}
	if s.own {
		server = &servers.Shared{Spec: shared.Spec}
		t.Cleanup(server.Stop)
	}
	database, es := server.Get(t), search.Get(t)
	if s.replica {
		m.replica = replicaOf(t, database)
		m.anew = !m.replica.continues()
	}
	m.source, m.target = newCutter(t, database.Addr), newCutter(t, strings.TrimPrefix(es.URL, "http://"))
	m.world = worldOn(t, database, es)
	m.binary = program
	m.url = strings.Replace(m.url, database.Addr, m.source.listener.Addr().String(), 1)
	m.sink = "http://" + m.target.listener.Addr().String()
	for _, c := range checksOf(database.Kind) {
		if !s.loses && !m.anew || !c.unstored {
			m.checks = append(m.checks, c)
		}
	}
	return m
}

// begin makes what the checks need, and starts the daemon.
func (m *trial) begin() {
	for _, c := range m.checks {
		m.exec(c.schema...)
		m.exec(c.make...)
		if c.pipeline != "" {
			m.put("_ingest", "/pipeline/"+m.name, c.pipeline)
		}
	}
	m.configure()
	m.start()
}

// all begins, lets the scenario happen, and validates each check.
func (m *trial) all() {
	m.begin()
	if !m.validate("before") {
		return
	}
	before := m.physicals()
	m.scenario.run(m)
	m.validate("after")
	after := m.physicals()
	for name := range before {
		if m.scenario.stays && !m.anew && after[name] == nil {
			m.top.Errorf("%s was built anew", name)
		}
	}
}

// physicals are the indexes that nothing but a scenario has built anew.
func (m *trial) physicals() map[string]any {
	found := map[string]any{}
	for _, c := range m.checks {
		if !c.anew {
			maps.Copy(found, m.aliasOf(m.name+"_"+c.name))
		}
	}
	return found
}

// configure writes the definitions of all checks.
func (m *trial) configure() {
	var indexes, tables strings.Builder
	for _, c := range m.checks {
		indexes.WriteString("\n  NAME_" + c.name + ": " + m.more(c.config, c.more))
		tables.WriteString(c.tables)
	}
	m.config(indexes.String() + "\ntables:" + tables.String() + "\n")
}

func (m *trial) more(text, more string) string {
	if !m.changed {
		more = ""
	}
	return strings.ReplaceAll(text, "MORE", more)
}

func (m *trial) change() { m.do(func(c *check) []string { return c.change }) }
func (m *trial) again()  { m.do(func(c *check) []string { return c.again }) }

func (m *trial) do(step func(*check) []string) {
	m.t.Helper()
	for _, c := range m.checks {
		statements := step(&c)
		for i := range statements {
			statements[i] = strings.ReplaceAll(statements[i], "NAME", m.name)
		}
		m.exec(statements...)
		m.push(&c)
	}
}

// push pushes the events that there are by now, where the daemon runs: who pushes
// asks again until that.
func (m *trial) push(c *check) {
	if c.pushed == "" || m.daemon == nil {
		return
	}
	var events []string
	m.each(c.pushed, func(v []any) { events = append(events, fmt.Sprint(v[0])) })
	m.eventually("events are taken", func() bool {
		code, _ := m.request(http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/events/%s_%s", m.port, m.name, c.name), "["+strings.Join(events, ",")+"]")
		return code == http.StatusAccepted
	})
}

// validate compares the documents of each check with what it wants.
func (m *trial) validate(when string) bool {
	m.t.Helper()
	for _, c := range m.checks {
		m.push(&c)
	}
	m.settle()
	m.eventually("all events are delivered", func() bool { return m.events()["waiting"] == 0.0 })
	return m.top.Run(when, func(t *testing.T) {
		defer func() { m.t = m.top }()
		for _, c := range m.checks {
			t.Run(c.name, func(t *testing.T) {
				m.t = t
				m.holds(&c)
			})
		}
		m.t = t
		if reports, ok := m.verify(); !ok {
			t.Errorf("verify finds %+v", reports)
		}
	})
}

func (m *trial) holds(c *check) {
	m.t.Helper()
	alias, want := m.name+"_"+c.name, m.more(c.want, c.added)
	if c.later {
		m.eventually("the time has come", func() bool { return m.sameIn(alias, want) })
	}
	documents := map[string]json.RawMessage{}
	for hit := range m.eachHit(alias) {
		id := hit.ID
		if hit.Routing != "" {
			id += "@" + hit.Routing
		}
		if strings.Contains(c.config, "partition:") {
			id = strings.TrimPrefix(hit.Index, alias+"-")[:len("2024.01")] + "/" + id
		}
		if documents[id] != nil {
			m.t.Errorf("document %s is there twice", id)
		}
		documents[id] = hit.Source
	}
	m.compareThese(alias, documents, m.wanted(want))
}

func killed(m *trial) {
	m.change()
	m.kill()
	m.start()
	m.again()
	m.kill()
	m.start()
}

// sinkAway has each connection to the sink closed, over a kill.
func sinkAway(m *trial) {
	m.target.cutAfter(0)
	m.change()
	m.eventually("the daemon says that the sink is away", func() bool { return !m.ready() })
	m.kill()
	m.start()
	m.again()
	m.target.pass()
}

// sourceCut ends the connections to the source in the middle of what it sends.
func sourceCut(m *trial) {
	m.source.cutAfter(3000)
	m.change()
	m.eventually("the daemon says that the source is away", func() bool { return !m.ready() })
	m.again()
	m.source.pass()
}

func definitionChanged(m *trial) {
	m.stop()
	m.changed = true
	m.configure()
	m.change()
	m.start()
	m.again()
}

func logLost(m *trial) {
	before := m.physicalOf(m.name + "_fields")
	m.stop()
	m.change()
	m.loseLog()
	m.again()
	m.start()
	m.builtAnew(before, m.dialect.lost)
}

// builtAnew waits until another index serves than before, for a reason that the log has.
func (m *trial) builtAnew(before, why string) {
	m.t.Helper()
	m.eventually("a fresh index serves", func() bool { p := m.physicalOf(m.name + "_fields"); return p != "" && p != before })
	if !m.log.contains(why) {
		m.top.Errorf("the log does not say %q", why)
	}
}
