package expression

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"haystream/internal/conf"
	"haystream/mapping/value"
	"haystream/sources"
)

// A sample is a row with a column of each type. It notes which are read.
type sample struct{ read []string }

var columns = map[string]struct {
	kind sources.Kind
	text string // empty: NULL
}{
	"id": {sources.Int, "9007199254740993"}, "quantity": {sources.Int, "3"}, "count": {sources.Int, "7"}, "Odd Name": {sources.Int, "5"},
	"price": {sources.Decimal, "19.90"}, "nan": {sources.Decimal, "NaN"}, "weight": {sources.Float, "0.1"},
	"title": {sources.Text, "Žluťoučký kůň"}, "status": {sources.Keyword, "open"}, "none": {sources.Text, ""},
	"published": {sources.Bool, "true"}, "deleted": {sources.Bool, ""},
	"created": {sources.TimestampTZ, "2024-02-29T12:30:00.000001Z"}, "day": {sources.Date, "2024-02-29"}, "expires": {sources.Timestamp, "infinity"},
	"doc":  {sources.JSON, `{"a": {"b": [1, 2.50, null, {"c": "x"}]}, "big": 123456789012345678901234567890, "items": [{"p": 0.1}, {"p": 0.2}, {"q": 1}]}`},
	"tags": {sources.Array, `["go","sql"]`},
}

func (*sample) Zone() *time.Location { return zone }

var zone = time.FixedZone("", 3600)

func (s *sample) Has(name string) bool { _, ok := s.Column(name); return ok }

func (*sample) Column(name string) (Type, bool) {
	c, ok := columns[name]
	return TypeOf(&sources.Type{Kind: c.kind}), ok
}

func (s *sample) Member(name string) (Member, error) {
	t, ok := s.Column(name)
	if !ok {
		return Member{}, fmt.Errorf("no column %q%s", name, conf.DidYouMean(name, slices.Collect(maps.Keys(columns))))
	}
	s.read = append(s.read, name)
	return Member{Type: t}, nil
}

func sampleRow(t testing.TB) map[string]any {
	row := map[string]any{}
	for name, c := range columns {
		text := []byte(c.text)
		if c.text == "" {
			text = nil
		}
		v, err := value.Box(&sources.Type{Kind: c.kind}, text)
		if err != nil {
			t.Fatal(err)
		}
		row[name] = v
	}
	return row
}

func TestExpressions(t *testing.T) {
	tests := []struct{ expr, want string }{
		// exact numbers
		{"id + 1", "9007199254740994"},
		{"9223372036854775807 + id", "9232379236109516800"},
		{"price * quantity", "59.70"},
		{"price + 0.1", "20.00"},
		{"price == 19.9", "true"},
		{"price > 19.899999999999999", "true"},
		{"quantity / 2", "1.5"},
		{"6 / quantity", "2"},
		{"price / 3", "6.6333333333333333"},
		{"-price", "-19.90"},
		{"7 % quantity", "1"},
		{"2 ** 70", "1180591620717411303424"},
		{"weight + 0.2", "0.30000000000000004"},
		{"weight == 0.1", "true"},
		{"weight < price", "true"},
		{"nan == nan", "true"},
		{"nan > price", "true"},
		{"nan + 1", "null"},
		{"doc.big + 1", "123456789012345678901234567891"},
		{"round(price / 3, 2)", "6.63"},
		{"round(19.995, 2)", "20.00"},
		{"floor(-price)", "-20"},
		{"ceil(price)", "20"},
		{"abs(-price)", "19.90"},
		{"int(price)", "19"},
		{`int("42")`, "42"},
		{"float(price)", "19.9"},
		{"string(price)", `"19.90"`},
		{"min(price, quantity, 7)", "3"},
		{"max([1, 2.5, quantity])", "3"},
		{"sum(doc.items, .p)", "0.3"},
		{"sum([1, 2, 3])", "6"},

		// NULL
		{"none == nil", "true"},
		{"none != nil", "false"},
		{"nil == title", "false"},
		{"deleted == nil", "true"},
		{`none == "x"`, "false"},
		{`none != "x"`, "false"},
		{"none == none", "false"},
		{`none < "x"`, "false"},
		{`none >= "x"`, "false"},
		{"none + title", "null"},
		{"!deleted", "true"},
		{"!published", "false"},
		{"not (none == title)", "true"},
		{"deleted && published", "false"},
		{"deleted || published", "true"},
		{"published and not deleted", "true"},
		{"deleted ? 1 : 2", "2"},
		{`none ?? "fallback"`, `"fallback"`},
		{"deleted ?? published", "true"},
		{"!(deleted ?? deleted)", "true"},
		{`none in ["a"]`, "false"},
		{`none not in ["a"]`, "false"},
		{`none contains "a"`, "false"},
		{`none matches "a"`, "false"},
		{"lower(none)", "null"},
		{"len(none)", "null"},
		{"len(none) > 0", "false"},
		{"any(doc.nothing, # > 1)", "false"},
		{"count(doc.items, .p > 0.1)", "1"},
		{"filter(doc.items, .q)[0]", "ERROR a condition wants true or false, not a number"},
		{"-doc.nothing", "null"},

		// text, lists, objects
		{`status in ["open", "new"]`, "true"},
		{`status not in ["open", "new"]`, "false"},
		{`"go" in tags`, "true"},
		{`price in [1, 19.9]`, "true"},
		{`title startsWith "Ž"`, "true"},
		{`title matches "^Žlu.*kůň$"`, "true"},
		{`upper(title) + "!"`, `"ŽLUŤOUČKÝ KŮŇ!"`},
		{`title[0:3]`, `"Žlu"`},
		{`tags[-1]`, `"sql"`},
		{`tags[5]`, "null"},
		{`join(tags, "+")`, `"go+sql"`},
		{`map(tags, upper(#))`, `["GO","SQL"]`},
		{"doc.a.b[1]", "2.50"},
		{"doc.a.b[2]", "null"},
		{"doc.a.b[3].c", `"x"`},
		{"doc.nothing.at.all", "null"},
		{"doc?.a?.b", `[1,2.50,null,{"c":"x"}]`},
		{`{"x": price, "y": [none, true]}`, `{"x":19.90,"y":[null,true]}`},
		{"[1, 2] == [1, 2.0]", "true"},
		{`let n = quantity; n * n`, "9"},
		{"count + 1", "8"},
		{"count(tags, # == 'go')", "1"},
		{`$env["Odd Name"] + 1`, "6"},
		{`if published { "y" } else { "n" }`, `"y"`},
		{`toJSON(doc.a.b[3])`, `"{\"c\":\"x\"}"`},

		// times
		{"created > \"2024-02-29\"", "true"},
		{"created > \"2024-02-29T12:30:00Z\"", "true"},
		{"created >= day", "true"},
		{"day == \"2024-02-29\"", "true"},
		{"day in [\"2024-02-29\"]", "true"},
		{"expires > created", "true"},
		{"expires", "null"},
		{"created - day", `"12h30m0.000001s"`},
		{"created - day > duration(\"12h\")", "true"},
		{"day + duration(\"36h\")", `"2024-03-01T12:00:00Z"`},
		// without a zone it is of the scope's, beside a time that has one
		{`created > "2024-02-29T13:30:00"`, "true"},
		{`created > "2024-02-29 13:31"`, "false"},
		{`created in [date("2024-02-29T13:30:00.000001")]`, "true"},
		{`created > date("2024-02-29 13:30") && created < date("2024-02-29 13:31")`, "true"},
		{`created > date("2024-02-29T12:30:00Z") && created < date("29.02.2024 13:31", "02.01.2006 15:04")`, "true"},
		{`created - date("2024-02-29") > duration("13h30m")`, "true"},
		{`day == "2024-02-29" && day == date("2024-02-29") && day - date("2024-02-28") == duration("24h")`, "true"},
		{`date("2024-02-29").Hour()`, "0"},
		{`date("2024-02-29").Unix()`, "1709161200"},
		{`date("29.02.2024", "02.01.2006").Unix()`, "1709161200"},
		{`date("29.02.2024", "02.01.2006", "UTC").Unix()`, "1709164800"},
		{`date("Thu, 29 Feb 2024 12:30:00 UTC") < created`, "true"},
		{"day - duration(\"24h\") == date(\"2024-02-28\")", "true"},
		{"created.Year()", "2024"},
		{"created.Month()", "2"},
		{`created.Format("02.01.2006")`, `"29.02.2024"`},
		{"created", `"2024-02-29T12:30:00.000001Z"`},
		{"day", `"2024-02-29"`},

		// errors that only a row can bring
		{"quantity / (quantity - 3)", "ERROR division by zero"},
		{"doc.a > 1", "ERROR cannot compare an object with a number"},
	}
	for _, tt := range tests {
		e, err := Compile(tt.expr, &sample{})
		if err != nil {
			t.Errorf("%s: compile: %v", tt.expr, err)
			continue
		}
		var got string
		if out, err := new(Machine).Run(e, sampleRow(t)); err != nil {
			got = "ERROR " + err.Error()
		} else {
			text, _, err := value.AppendJSON(nil, out)
			if err != nil {
				t.Errorf("%s: %v", tt.expr, err)
			}
			got = string(text)
		}
		if got != tt.want && (!strings.HasPrefix(tt.want, "ERROR") || !strings.HasPrefix(got, tt.want)) {
			t.Errorf("%s: got %s, want %s", tt.expr, got, tt.want)
		}
	}
}

func TestExpressionMistakes(t *testing.T) {
	tests := []struct{ expr, want string }{
		{"titel == 1", `no column "titel"; did you mean "title"? (at character 1)`},
		{"price > ", "something is missing at the end"},
		{"price > title", "cannot compare a number with text (at character 7)"},
		{`published == 1`, "cannot compare true or false with a number"},
		{`created > "yesterday"`, `"yesterday" is not a date`},
		{"created > title", "write date(…) around it"},
		{`status in [1]`, "cannot compare text with a number"},
		{"title && published", "wants a condition, true or false, and this is text"},
		{"lowr(title)", `there is no function "lowr"; did you mean "lower"?`},
		{"lower(title, 1)", "lower:"},
		{"round()", "round: wants at least 1"},
		{"now() > created", "now() is for the `where` of an index only"},
		{"title.length", "text has no members"},
		{"created.Yeer()", `a time has no method "Yeer"`},
		{"title - 1", "cannot compute text - a number"},
		{"let title = 1; title", `"title" is a column`},
		{`title matches "("`, "error parsing regexp"},
		{`$env.nope`, `no column "nope"`},
		{"type(title)", `there is no function "type"`},
	}
	for _, tt := range tests {
		_, err := Compile(tt.expr, &sample{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.expr, err, tt.want)
		}
	}
}

func TestExpressionTypes(t *testing.T) {
	for text, want := range map[string]Type{
		"id + 1": IntType, "id / 2": DecimalType, "price * 2": DecimalType, "weight * 2": FloatType,
		"published && id > 1": BoolType, "lower(title)": TextType, "created": TimeType, "doc.x": AnyType,
		"published ? 1 : 2.5": DecimalType, "len(title)": IntType, "created - day": DurationType,
		"title ?? 'x'": TextType, "tags": ListType, "round(price)": DecimalType, "any(tags, # == 'x')": BoolType,
	} {
		e, err := Compile(text, &sample{})
		if err != nil || e.Type() != want {
			t.Errorf("%s: got %v (%v), want %v", text, e, err, want)
		}
	}
}

func TestExpressionColumns(t *testing.T) {
	at := &sample{}
	if _, err := CompileCondition(`published && date(status) > created && $env["Odd Name"] > 1`, at); err != nil {
		t.Fatal(err)
	}
	if slices.Sort(at.read); fmt.Sprint(at.read) != "[Odd Name created published status]" {
		t.Errorf("reads columns %s", at.read)
	}
	if _, err := CompileCondition("id + 1", at); err == nil {
		t.Error("a number passes for a condition")
	}
}
