package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"haystream/sources"
)

// TestMessages is about what clients write into the log that is in no table.
func TestMessages(t *testing.T) {
	eachServer(t, map[string]func(*rig){
		"messages_committed": testMessagesCommitted,
		"messages_alone":     testMessagesAlone,
		"messages_outside":   testMessagesOutside,
		"messages_large":     testMessagesLarge,
		"messages_text":      testMessagesText,
		"messages_unwanted":  testMessagesUnwanted,
	})
}

// wants makes the source ask for messages. Not ok: the server has none for it, and check says so.
func (r *rig) wants() bool {
	r.Helper()
	r.source.cfg.Messages = true
	if serverVersion(r.admin) >= messagesFrom {
		r.expectFindings("ok: events: messages with the prefix haystream. are taken from the log", "events")
		return true
	}
	text := r.findings("events")
	if !strings.HasPrefix(text, "warning: events: PostgreSQL 13") || !strings.Contains(text, "does not stream messages: events come by HTTP only") {
		r.Errorf("findings are %s", text)
	}
	return false
}

func emit(body string) string {
	return "SELECT pg_logical_emit_message(true, 'haystream.press', '" + body + "')"
}

// messages takes batches until there are as many, and compares their bodies.
func (f *follower) messages(want ...string) []sources.Message {
	f.Helper()
	var found []sources.Message
	var bodies []string
	for len(found) < len(want) {
		b, err := f.next()
		if err != nil {
			f.Fatalf("stream ended: %v; so far %q", err, bodies)
		}
		for _, m := range b.Messages {
			found, bodies = append(found, m), append(bodies, string(m.Body))
			if m.Name != "press" {
				f.Errorf("a message is named %s", m.Name)
			}
		}
	}
	if !slices.Equal(bodies, want) {
		f.Errorf("messages are %q, want %q", bodies, want)
	}
	return found
}

// testMessagesCommitted: those of committed transactions come, in the order of commits,
// once after each position, and they number no change.
func testMessagesCommitted(r *rig) {
	if !r.wants() {
		return
	}
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
	r.prepare("public.notes")
	f := r.follow(r.start)
	other := connect(r.T, r.url)
	execute(r, other, "BEGIN", emit("3"))
	before := time.Now()
	r.exec("BEGIN", "INSERT INTO notes VALUES (1)", emit("1"), "SAVEPOINT s", emit("no"), "ROLLBACK TO s", emit("2"), "INSERT INTO notes VALUES (2)", "COMMIT",
		"BEGIN", emit("no"), "ROLLBACK", "SELECT pg_logical_emit_message(true, 'other', 'no')", "SELECT pg_logical_emit_message(true, 'haystream', 'no')")
	execute(r, other, "COMMIT")
	r.exec(emit("4"), "INSERT INTO notes VALUES (3)")
	found := f.messages("1", "2", "3", "4")
	f.expect("insert notes (1)", "insert notes (2)", "insert notes (3)")
	ids := map[string]bool{}
	for _, m := range found {
		ids[m.ID] = true
		if away := m.Time.Sub(before).Abs(); away > patience {
			r.Errorf("the message %s is %s away", m.Body, away)
		}
	}
	if len(ids) != 4 || found[0].Time != found[1].Time || !found[0].Time.Before(found[2].Time) {
		r.Errorf("messages are %v", found)
	}
	last := f.last
	f.stop()
	r.eventually("the slot is free", func() bool { return r.again(r.start) == nil })
	f = r.follow(r.start)
	if replayed := f.messages("1", "2", "3", "4"); !slices.EqualFunc(found, replayed, func(a, b sources.Message) bool { return a.ID == b.ID && a.Time.Equal(b.Time) }) {
		r.Errorf("messages are %v, and in a replay %v", found, replayed)
	}
	f.expect("insert notes (1)", "insert notes (2)", "insert notes (3)")
	if f.last != last {
		r.Errorf("the last version was %d, and in a replay %d", last, f.last)
	}
}

// testMessagesAlone: a database of which no table is in use.
func testMessagesAlone(r *rig) {
	if !r.wants() {
		return
	}
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
	r.plan()
	r.expectFindings("ok: publication messages_alone: will be created", "publication")
	r.prepare()
	f := r.follow(r.start)
	r.exec("INSERT INTO notes VALUES (1)", emit("1"))
	f.messages("1")
	from := f.at
	f.stop()
	// A table comes into use and goes again.
	r.plan("public.notes")
	r.eventually("the slot is free", func() bool { _, err := r.ready(r.Context(), from.Position); return err == nil })
	f = r.follow(from)
	r.exec(emit("2"), "INSERT INTO notes VALUES (2)")
	f.messages("2")
	f.expect("insert notes (2)")
	from = f.at
	f.stop()
	r.plan()
	r.eventually("the slot is free", func() bool { return r.again(from) == nil })
	if left := r.ask("SELECT count(*) FROM pg_publication_tables WHERE pubname = $1", r.name); left != "0" {
		r.Errorf("%s tables are published", left)
	}
	f = r.follow(from)
	r.exec("INSERT INTO notes VALUES (3)", emit("3"))
	f.messages("3")
	if len(f.changes) > 0 {
		r.Errorf("changes are %q", f.changes)
	}
}

// testMessagesOutside: one that is in no transaction comes at once, whatever becomes of the
// transaction that wrote it, and again until the position is past it.
func testMessagesOutside(r *rig) {
	if !r.wants() {
		return
	}
	r.prepare()
	f := r.follow(r.start)
	const outside = "SELECT pg_logical_emit_message(false, 'haystream.press', '%s')"
	r.exec("BEGIN", emit("no"), fmt.Sprintf(outside, "1"), "ROLLBACK", emit("2")) // the commit brings the log to the disk
	found := f.messages("1", "2")
	f.stop()
	r.eventually("the slot is free", func() bool { return r.again(r.start) == nil })
	f = r.follow(r.start)
	if replayed := f.messages("1", "2"); replayed[0].ID != found[0].ID {
		r.Errorf("its id was %s, and in a replay %s", found[0].ID, replayed[0].ID)
	}
	from := f.at
	f.stop()
	r.eventually("the slot is free", func() bool { return r.again(from) == nil })
	f = r.follow(from)
	r.exec(emit("3"))
	f.messages("3")
}

// testMessagesLarge: a transaction of any size is held in a batch at most.
func testMessagesLarge(r *rig) {
	if !r.wants() {
		return
	}
	r.prepare()
	const messages, size = 20_000, 2000
	r.exec(fmt.Sprintf("SELECT count(pg_logical_emit_message(true, 'haystream.press', n || repeat('x', %d))) FROM generate_series(1, %d) n", size, messages))
	end := position{system: "any", lsn: r.lsn("pg_current_wal_lsn()")}.String()
	f := r.follow(r.start)
	for n := 0; n < messages; {
		b, err := f.next()
		r.must(err)
		if b.Size() > 2*sources.BatchBytes {
			r.Fatalf("a batch has %d bytes", b.Size())
		}
		for _, m := range b.Messages {
			if n++; !strings.HasPrefix(string(m.Body), fmt.Sprintf("%dx", n)) || len(m.Body) < size {
				r.Fatalf("message %d is %.10s…", n, m.Body)
			}
		}
		if n < messages && r.source.Reached(f.at.Position, end) {
			r.Fatal("the position passed a transaction in its middle")
		}
	}
}

// testMessagesText: a message is UTF-8, or text in the encoding of the database.
func testMessagesText(r *rig) {
	if !r.wants() {
		return
	}
	r.prepare()
	f := r.follow(r.start)
	r.exec("SELECT pg_logical_emit_message(true, 'haystream.press', convert_to('bytes: ä€', 'UTF8'))", emit("text: ä€"),
		`SELECT pg_logical_emit_message(true, 'haystream.press', '\xff00'::bytea)`, emit(""))
	f.messages("bytes: ä€", "text: ä€", "\xff\x00", "")
	latin := newRig(r.T, r.server, "messages_latin", "ENCODING 'WIN1252' LOCALE 'C' TEMPLATE template0")
	latin.wants()
	latin.prepare()
	f = latin.follow(latin.start)
	latin.exec("SELECT pg_logical_emit_message(true, 'haystream.press', convert_to('bytes: ä€', 'UTF8'))", emit("text: ä€"))
	f.messages("bytes: ä€", "text: ä€")
}

// testMessagesUnwanted: without a definition over events none is asked for.
func testMessagesUnwanted(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
	r.prepare("public.notes")
	f := r.follow(r.start)
	r.exec(emit("1"), "INSERT INTO notes VALUES (1)")
	b, err := f.next()
	r.must(err)
	f.expect("insert notes (1)")
	if len(b.Messages) > 0 || r.findings("events") != "" {
		r.Errorf("messages are %v, findings %s", b.Messages, r.findings("events"))
	}
}
