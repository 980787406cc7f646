package mapping

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"haystream/internal/conf"
	"haystream/sinks"
	"haystream/sources"
)

// A Partition is a definition's `partition:`: an index for each period, under one alias.
type Partition struct {
	// By names the field of the document, a column's date, whose value tells its period.
	By string `yaml:"by" json:"by"`

	// Every is day, week, month or year.
	Every string `yaml:"every" json:"every"`

	// Keep is how many periods are kept, the current one included; 0: all. Indexes of
	// older ones are dropped, and their documents left out.
	Keep int `yaml:"keep" json:"keep,omitempty"`
}

var everyPeriods = []string{"day", "week", "month", "year"}

// A Period is the number of a day, week, month or year: of the one that 1970-01-01 is
// in, 0; for years the year itself. What numbers mean depends on Partition.Every.
type Period int32

// Undated is the period of documents without a value, or with one whose year has not
// four digits. It is never dropped.
const Undated Period = math.MaxInt32

// of is the period of a day of the Gregorian calendar.
func (p *Partition) of(year int, month time.Month, day int) Period {
	if year < 0 || year > 9999 {
		return Undated
	}
	days := func() int { return int(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / 86400) } // exact: of midnight
	switch p.Every {
	case "day":
		return Period(days())
	case "week": // of Monday; 1970-01-01 was a Thursday
		n := days() + 3
		if n < 0 {
			n -= 6
		}
		return Period(n / 7)
	case "month":
		return Period((year-1970)*12 + int(month) - 1)
	}
	return Period(year)
}

// At is the period of a moment.
func (p *Partition) At(t time.Time) Period { return p.of(t.Date()) }

// Of is the period of a date in canonical text, as columns and documents have it: of
// one with a zone, where it is in that of the given zone.
func (p *Partition) Of(text []byte, zone *time.Location) Period {
	if len(text) < len("2006-01-02") || text[4] != '-' || text[7] != '-' {
		return Undated
	}
	year, month, day := digits(text[:4]), digits(text[5:7]), digits(text[8:10])
	if year < 0 || month < 1 || month > 12 || day < 1 || day > 31 {
		return Undated
	}
	rest := text[10:]
	if len(rest) == 0 || rest[len(rest)-1] == 'Z' && zone == time.UTC {
		return p.of(year, time.Month(month), day)
	}
	if last := rest[len(rest)-1]; last != 'Z' && (len(rest) < 6 || rest[len(rest)-6] != '+' && rest[len(rest)-6] != '-') {
		return p.of(year, time.Month(month), day) // without a zone it is what it says
	}
	t, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return Undated
	}
	return p.At(t.In(zone))
}

// A partitioning is how the documents of one table come into their periods.
type partitioning struct {
	*Partition
	zone   *time.Location
	column int // of the rows
}

// row is the period of a row.
func (p *partitioning) row(row sources.Row) Period {
	if row.Null(p.column) {
		return Undated
	}
	return p.Of(row.Text(p.column), p.zone)
}

// Partitioning tells the period of an index's documents.
type Partitioning struct {
	*Partition
	Zone *time.Location
}

// Now is the period of a moment.
func (p *Partitioning) Now(t time.Time) Period { return p.At(t.In(p.Zone)) }

// Target is where documents of a period go.
func (p *Partition) Target(t *sinks.Target, n Period) *sinks.Target {
	if n == Undated {
		return t
	}
	return t.In(p.Name(n))
}

// Document is the period of a document, from its JSON.
func (p *Partitioning) Document(body []byte) Period {
	for _, name := range strings.Split(p.By, ".") {
		var members map[string]json.RawMessage
		if json.Unmarshal(body, &members) != nil {
			return Undated
		}
		body = members[name]
	}
	var text string
	if json.Unmarshal(body, &text) != nil {
		return Undated
	}
	return p.Of([]byte(text), p.Zone)
}

// digits is a number, -1 where it is none.
func digits(text []byte) int {
	n := 0
	for _, c := range text {
		if c < '0' || c > '9' {
			return -1
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// Name is the period as index names have it: 2026, 2026.11, 2026.11.29, 2026.w48; empty
// for Undated, which has no index of its own.
func (p *Partition) Name(n Period) string {
	if n == Undated {
		return ""
	}
	switch p.Every {
	case "day":
		return time.Unix(int64(n)*86400, 0).UTC().Format("2006.01.02")
	case "week":
		year, week := time.Unix((int64(n)*7-3)*86400, 0).UTC().ISOWeek()
		return fmt.Sprintf("%04d.w%02d", year, week)
	case "month":
		months := int(n) + 1970*12
		return fmt.Sprintf("%04d.%02d", months/12, months%12+1)
	}
	return fmt.Sprintf("%04d", int(n))
}

var periodName = regexp.MustCompile(`^(\d{4})(?:\.(w?)(\d\d)(?:\.(\d\d))?)?$`)

// Parse is the period of a Name; ok is false for another text.
func (p *Partition) Parse(name string) (n Period, ok bool) {
	if name == "" {
		return Undated, true
	}
	parts := periodName.FindStringSubmatch(name)
	if parts == nil {
		return 0, false
	}
	year, _ := strconv.Atoi(parts[1])
	second, _ := strconv.Atoi(parts[3])
	day, _ := strconv.Atoi(parts[4])
	switch {
	case p.Every == "year":
		n = p.of(year, 1, 1)
	case p.Every == "week":
		n = p.of(year, 1, 4) + Period(second) - 1 // January 4th is in the first week
	default:
		n = p.of(year, time.Month(max(second, 1)), max(day, 1))
	}
	return n, p.Name(n) == name
}

// Oldest is the first period that is kept at a moment.
func (p *Partition) Oldest(now time.Time) Period {
	if p.Keep == 0 {
		return math.MinInt32
	}
	return p.At(now) - Period(p.Keep) + 1
}

// check reports what is wrong with a definition's partition, but for its field.
func (p *Partition) check(u *unit, problems *Problems) {
	d := u.def
	if d.Mode != ModeAppend {
		problems.add(u.path("partition"), "goes with mode: append only")
	}
	if !slices.Contains(everyPeriods, p.Every) {
		problems.add(u.path("partition", "every"), "must be day, week, month or year%s", conf.DidYouMean(p.Every, everyPeriods))
	}
	if p.By == "" {
		problems.add(u.path("partition", "by"), "must name the field whose date tells the period")
	}
	if p.Keep < 0 {
		problems.add(u.path("partition", "keep"), "is how many periods are kept; leave it out to keep all")
	}
	if d.Haystack != nil {
		problems.add(u.path("partition"), "does not go with haystack")
	}
}

// partition settles which column tells a row's period.
func (c *unitCompiler) partition(r *Renderer) {
	p := c.def.Partition
	if p == nil || p.By == "" {
		return
	}
	f := c.fields[p.By]
	switch {
	case f == nil && c.root.unknown() && c.def.Fields.All:
		return // the table will tell
	case f == nil:
		c.problems.add(c.path("partition", "by"), "no field %q%s", p.By, conf.DidYouMean(p.By, slices.Sorted(maps.Keys(c.fields))))
		return
	}
	column := f.From
	if column == "" {
		column = p.By
	}
	i := c.table.Column(column)
	if c.root.unknown() {
		i = 0 // it has any
	}
	if i < 0 || f.hasTemplate() || f.Expr != "" || f.Value != nil || f.DateFormat != "" || f.Default != nil {
		c.problems.add(c.path("partition", "by"), "%q must be a column of the table, without date_format and default", p.By)
		return
	}
	if c.root.unknown() {
		return
	}
	switch c.table.Columns[i].Type.Kind {
	case sources.Date, sources.Timestamp, sources.TimestampTZ:
	default:
		c.problems.add(c.path("partition", "by"), "column %s is %s; it must be a date or a timestamp", column, c.table.Columns[i].Type.SQL)
		return
	}
	if _, err := c.root.use(column); err != nil {
		c.problems.add(c.path("partition", "by"), "%v", err)
		return
	}
	r.partition = &partitioning{p, c.schema.location(), i}
}

// location is the pipeline's zone.
func (s *schema) location() *time.Location {
	if s.zone == nil {
		return time.UTC
	}
	return s.zone
}

// Part is where a document of a period goes in a batch; nil where the period is not kept.
func (p *Partition) Part(b *sinks.Batch, t *sinks.Target, n Period) *sinks.Target {
	if oldest := t.Oldest.Load(); oldest != 0 && int64(n) < oldest {
		return nil
	}
	to := p.Target(t, n)
	if to != t {
		b.Needs(to)
	}
	return to
}
