package postgres

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"

	"haystream/sources"
)

// wire builds pgoutput messages.
type wire []byte

func (w wire) u8(v byte) wire    { return append(w, v) }
func (w wire) u16(v int) wire    { return binary.BigEndian.AppendUint16(w, uint16(v)) }
func (w wire) u32(v int) wire    { return binary.BigEndian.AppendUint32(w, uint32(v)) }
func (w wire) u64(v int) wire    { return binary.BigEndian.AppendUint64(w, uint64(v)) }
func (w wire) str(s string) wire { return append(append(w, s...), 0) }

// row has a value for each text; "~" stands for NULL, "?" for an unchanged TOASTed value.
func (w wire) row(kind byte, texts ...string) wire {
	w = w.u8(kind).u16(len(texts))
	for _, text := range texts {
		switch text {
		case "~":
			w = w.u8('n')
		case "?":
			w = w.u8('u')
		default:
			w = append(w.u8('t').u32(len(text)), text...)
		}
	}
	return w
}

func beginMessage(micros int, xid int) wire {
	return wire("B").u64(0).u64(micros - postgresEpoch).u32(xid)
}
func commitMessage(end int) wire { return wire("C").u8(0).u64(0).u64(end).u64(0) }

func logicalMessage(flags byte, at int, prefix, body string) wire {
	return append(wire("M").u8(flags).u64(at).str(prefix).u32(len(body)), body...)
}

// OIDs of pg_type.
const (
	oidBool = 16
	oidInt4 = 23
	oidText = 25
)

// relationOf describes a relation with the columns id, body, flag; id is the key.
func relationOf(oid int) wire {
	return wire("R").u32(oid).str("public").str("notes").u8('d').u16(3).
		u8(1).str("id").u32(oidInt4).u32(-1).u8(0).str("body").u32(oidText).u32(-1).u8(0).str("flag").u32(oidBool).u32(-1)
}

func testRegistry() *typeRegistry {
	return &typeRegistry{types: map[uint32]*catalogType{
		oidBool: {oid: oidBool, builtin: true, name: "bool", class: "b"},
		oidInt4: {oid: oidInt4, builtin: true, name: "int4", class: "b"},
		oidText: {oid: oidText, builtin: true, name: "text", class: "b"},
	}}
}

// testDecoder knows the table of relationOf, projected in another order, as
// relation 1. Relation 2 is in no use.
func testDecoder() *decoder {
	table := &sources.Table{Schema: "public", Name: "notes", Key: []int{1}, Columns: []sources.Column{
		{Name: "flag", Type: sources.Type{Kind: sources.Bool}},
		{Name: "id", Type: sources.Type{Kind: sources.Int, Size: 4}},
		{Name: "body", Type: sources.Type{Kind: sources.Text}},
	}}
	registry := testRegistry()
	d := &decoder{
		relations: map[uint32]*logRelation{},
		widen:     func(xid uint32) uint64 { return uint64(xid) },
		resolve: func(m relationMessage) (*logRelation, error) {
			if m.oid == 2 {
				return nil, nil
			}
			return newLogRelation(m, table, registry), nil
		},
		record:   func(at pglogrepl.LSN) string { return at.String() },
		text:     func([]byte) ([]byte, error) { return []byte("decoded"), nil },
		now:      func() time.Time { return time.UnixMicro(77) },
		versions: sources.NewVersioner(1000),
	}
	return d
}

func TestDecode(t *testing.T) {
	d := testDecoder()
	batch := &sources.Batch{Arena: &sources.Arena{}}
	commits := 0
	for _, m := range []wire{
		relationOf(1), relationOf(2), wire("Y").u32(9).str("x").str("y"), wire("O").u64(1).str("origin"),
		beginMessage(5000, 7),
		wire("I").u32(1).row('N', "1", "a", "t"),
		wire("I").u32(2).row('N', "1", "a", "t"),
		wire("U").u32(1).row('N', "1", "?", "~"),
		wire("U").u32(1).row('K', "1", "~", "~").row('N', "2", "?", "f"),
		wire("U").u32(1).row('K', "2", "~", "~").row('N', "?", "b", "f"),
		wire("U").u32(1).row('O', "2", "b", "f").row('N', "2", "?", "t"),
		wire("D").u32(1).row('K', "2", "~", "~"),
		wire("D").u32(1).row('O', "2", "", "t"),
		wire("T").u32(3).u8(0).u32(1).u32(2).u32(1),
		wire("I").u32(1).row('N', "3", "a", "maybe"), // a value that cannot be decoded
		commitMessage(90),
		beginMessage(4000, 8), wire("I").u32(2).row('N', "1", "a", "t"), commitMessage(95),
		beginMessage(9000, 9), wire("D").u32(1).row('K', "5", "~", "~"),
	} {
		committed, err := d.decode(m, batch)
		if err != nil {
			t.Fatalf("%q: %v", m, err)
		}
		if committed {
			commits++
		}
	}
	want := []struct {
		text    string
		version int64
		tx      uint64
	}{
		{"insert notes (true,1,a)", 5000, 7},
		{"update notes (NULL,1,?)", 5002, 7},
		{"update notes (?,1,?) -> (false,2,?)", 5003, 7},
		{"update notes (?,2,?) -> (false,2,b)", 5004, 7},
		{"update notes (false,2,b) -> (true,2,b)", 5005, 7},
		{"delete notes (?,2,?)", 5006, 7},
		{"delete notes (true,2,)", 5007, 7},
		{"stale notes", 5008, 7},
		{"stale notes (?,3,a)", 5011, 7},
		{"delete notes (?,5,?)", 9000, 9},
	}
	if len(batch.Changes) != len(want) {
		t.Fatalf("%d changes, want %d", len(batch.Changes), len(want))
	}
	for i := range want {
		c := &batch.Changes[i]
		if changeText(c) != want[i].text || c.Version != want[i].version || c.Tx != want[i].tx {
			t.Errorf("change %d is %s, version %d, transaction %d, want %+v", i, changeText(c), c.Version, c.Tx, want[i])
		}
	}
	// The checkpoint is that of the last whole transaction: 5012 is its insert.
	if commits != 2 || batch.Transactions != 2 || d.end != 95 || d.version != 5012 || !d.inTx || d.commit != time.UnixMicro(9000) {
		t.Errorf("%d commits, %d transactions, end %d, version %d", commits, batch.Transactions, d.end, d.version)
	}
}

func TestDecodeMessages(t *testing.T) {
	d := testDecoder()
	batch := &sources.Batch{Arena: &sources.Arena{}}
	steps := []struct {
		message wire
		whole   bool
	}{
		{logicalMessage(0, 1, "haystream.a", "outside"), true},
		{logicalMessage(0, 2, "other.a", "x"), false},
		{beginMessage(5000, 7), false},
		{logicalMessage(1, 0x30, "haystream.b.c", "inside"), false},
		{logicalMessage(1, 0x31, "haystream", "x"), false},
		{logicalMessage(1, 0x32, "haystream.", ""), false},
		{logicalMessage(1, 0x33, "haystream.a", "\xff"), false},
		{commitMessage(0x40), true},
	}
	for _, step := range steps {
		whole, err := d.decode(step.message, batch)
		if err != nil || whole != step.whole {
			t.Fatalf("%q: whole is %v, %v", step.message, whole, err)
		}
		for i := range step.message {
			step.message[i] = '#' // the memory is the connection's
		}
	}
	want := []string{"a 0/1 77 outside", "b.c 0/30 5000 inside", " 0/32 5000 ", "a 0/33 5000 decoded"}
	got := make([]string, len(batch.Messages))
	for i, m := range batch.Messages {
		got[i] = fmt.Sprintf("%s %s %d %s", m.Name, m.ID, m.Time.UnixMicro(), m.Body)
	}
	if !slices.Equal(got, want) {
		t.Errorf("messages are %q, want %q", got, want)
	}
	if d.version != 1000 || batch.Size() < len("outside")+len("inside") {
		t.Errorf("the version is %d, the size %d", d.version, batch.Size())
	}
	d.record = nil
	if _, err := d.decode(logicalMessage(0, 1, "haystream.a", "x"), batch); err != nil || len(batch.Messages) != len(want) {
		t.Errorf("what is not wanted gives %d messages, %v", len(batch.Messages), err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := map[string][]wire{
		"empty":              {nil},
		"unknown kind":       {wire("?")},
		"not described":      {beginMessage(1, 1), wire("I").u32(5).row('N', "1")},
		"not in a":           {relationOf(1), wire("I").u32(1).row('N', "1", "a", "t")},
		"in the middle":      {beginMessage(1, 1), beginMessage(1, 1)},
		"commit: not in":     {commitMessage(1)},
		"has 3":              {relationOf(1), beginMessage(1, 1), wire("I").u32(1).row('N', "1", "a")},
		"no new row":         {relationOf(1), beginMessage(1, 1), wire("U").u32(1).row('K', "1", "~", "~").u8('D')},
		"no old row":         {relationOf(1), beginMessage(1, 1), wire("D").u32(1).row('N', "1", "~", "~")},
		"message: not in a":  {logicalMessage(1, 1, "haystream.a", "x")},
		"message: message":   {wire("M").u8(0).u64(1).str("haystream.a").u32(5).u8('x')},
		"begin: message":     {wire("B").u64(1)},
		"truncate: message":  {relationOf(1), beginMessage(1, 1), wire("T").u32(2).u8(0).u32(1)},
		"relation: message":  {wire("R").u32(1).str("s").str("t").u8('d').u16(70)},
		"insert: message":    {relationOf(1), beginMessage(1, 1), wire("I").u32(1).u8('N').u16(3).u8('t').u32(-5)},
		"update: message":    {relationOf(1), beginMessage(1, 1), wire("U").u32(1).u8('N').u16(3).u8('b').u32(0)},
		"delete: message is": {relationOf(1), beginMessage(1, 1), wire("D").u32(1).u8('K').u16(3).u8('t').u32(1 << 30)},
	}
	for want, messages := range tests {
		d := testDecoder()
		batch := &sources.Batch{Arena: &sources.Arena{}}
		var err error
		for _, m := range messages {
			if _, err = d.decode(m, batch); err != nil {
				break
			}
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v", want, err)
		}
	}
}

// FuzzDecode: whatever comes, a decoder returns, and its rows can be read.
func FuzzDecode(f *testing.F) {
	for _, seed := range []wire{
		relationOf(1), beginMessage(5, 6), commitMessage(7),
		wire("I").u32(1).row('N', "1", "a", "t"),
		wire("U").u32(1).row('O', "2", "b", "f").row('N', "2", "?", "t"),
		wire("U").u32(1).row('K', "2", "~", "~").row('N', "?", "?", "f"),
		wire("D").u32(1).row('K', "2", "~", "~"),
		wire("T").u32(2).u8(0).u32(1).u32(1),
		logicalMessage(1, 2, "haystream.a", "b"), logicalMessage(0, 2, "haystream.a", "b"),
	} {
		f.Add([]byte(seed), []byte(seed))
	}
	f.Fuzz(func(_ *testing.T, first, second []byte) {
		d := testDecoder()
		batch := &sources.Batch{Arena: &sources.Arena{}}
		for _, m := range [][]byte{relationOf(1), beginMessage(1, 1), first, second} {
			if _, err := d.decode(m, batch); err != nil {
				return
			}
		}
		for i := range batch.Changes {
			changeText(&batch.Changes[i])
		}
	})
}

// BenchmarkDecode is the hot path: updates of ten columns, 260 bytes.
func BenchmarkDecode(b *testing.B) {
	const columns = 10
	relation := wire("R").u32(1).str("public").str("notes").u8('d').u16(columns)
	table := &sources.Table{Schema: "public", Name: "notes", Key: []int{0}}
	texts := make([]string, columns)
	for i := range columns {
		name := string(rune('a' + i))
		oid, kind := oidText, sources.Text
		texts[i] = strings.Repeat("x", 28)
		switch i {
		case 0:
			oid, kind, texts[i] = oidInt4, sources.Int, "123456"
		case 1:
			oid, kind, texts[i] = oidBool, sources.Bool, "t"
		}
		relation = relation.u8(0).str(name).u32(oid).u32(-1)
		table.Columns = append(table.Columns, sources.Column{Name: name, Type: sources.Type{Kind: kind}})
	}
	d := testDecoder()
	registry := testRegistry()
	d.resolve = func(m relationMessage) (*logRelation, error) { return newLogRelation(m, table, registry), nil }
	batch := &sources.Batch{Arena: &sources.Arena{}}
	update := wire("U").u32(1).row('N', texts...)
	for _, m := range []wire{relation, beginMessage(1, 1)} {
		if _, err := d.decode(m, batch); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(update)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.decode(update, batch); err != nil {
			b.Fatal(err)
		}
		if batch.Size() > sources.BatchBytes {
			batch.Arena.Reset()
			batch.Changes = batch.Changes[:0]
		}
	}
}
