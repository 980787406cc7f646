package django

import (
	"maps"
	"slices"
)

// A filter makes a value of a value.
type filter struct {
	run func(x input) (Value, error)

	argument     argumentRule
	refusedAlone string // why it cannot be used without an argument

	text bool // it is given text
	safe bool // of text that is not escaped any more it makes such text
	rows rowsRule
}

// input is what a filter is given.
type input struct {
	m      *Machine
	v, arg Value
	given  bool // there is an argument
	escape bool // what is printed here is escaped
}

type argumentRule uint8

const (
	never argumentRule = iota
	optional
	required
)

// A rowsRule says what a filter makes of rows; otherwise it is given the text of one row.
type rowsRule uint8

const (
	noRows     rowsRule = iota
	keepsRows           // gives rows
	takesRow            // gives one of them
	countsRows          // looks at how many there are, if any
	wantsTexts          // is given a list of their texts
)

// filters are those that there are, by name.
var filters = allFilters()

// FilterNames lists the filters, sorted.
func FilterNames() []string { return slices.Sorted(maps.Keys(filters)) }

// onText makes a filter of a function of text.
func onText(safe bool, f func(s string) string) *filter {
	return &filter{text: true, safe: safe, run: func(x input) (Value, error) { return Text(f(x.v.text)), nil }}
}

// onTextWith makes a filter of a function of text and a whole number.
func onTextWith(f func(s string, n int) (string, error)) *filter {
	return &filter{text: true, safe: true, argument: required, run: func(x input) (Value, error) {
		n, err := x.arg.toSmall()
		if err != nil {
			return x.v, failure("%q is not a whole number", x.arg)
		}
		s, err := f(x.v.text, n)
		return Text(s), err
	}}
}

// truncating makes a filter that cuts text; what is no number cuts nothing.
func truncating(f func(s string, n int) string) *filter {
	return &filter{text: true, safe: true, argument: required, run: func(x input) (Value, error) {
		n, err := x.arg.toSmall()
		switch {
		case err == errType:
			return x.v, failure("%s is not a whole number", x.arg.typeName())
		case err != nil:
			return x.v, nil
		}
		return Text(f(x.v.text, n)), nil
	}}
}

// plain makes a filter that takes a value as it is.
func plain(safe bool, argument argumentRule, run func(x input) (Value, error)) *filter {
	return &filter{run: run, safe: safe, argument: argument}
}

// escaping makes a filter of text whose result is not escaped any more.
func escaping(f func(s string, escape bool) string) *filter {
	return &filter{text: true, safe: true, run: func(x input) (Value, error) {
		return safeText(f(x.v.text, x.escape && !x.v.safe)), nil
	}}
}

func allFilters() map[string]*filter {
	return map[string]*filter{
		"add":      plain(false, required, add),
		"apnumber": plain(true, never, spelledNumber),
		"addslashes": onText(true, func(s string) string {
			return replaceAll(s, `\`, `\\`, `"`, `\"`, `'`, `\'`)
		}),
		"capfirst": onText(true, capFirst),
		"center":   onTextWith(func(s string, n int) (string, error) { return pad(s, n, 0.5) }),
		"cut": {text: true, argument: required, run: func(x input) (Value, error) {
			if x.arg.kind != str {
				return x.v, failure("cut wants text, not %s", x.arg.typeName())
			}
			out := Text(replaceAll(x.v.text, x.arg.text, ""))
			out.safe = x.v.safe && x.arg.text != ";"
			return out, nil
		}},
		"date":    {argument: optional, run: formatDate},
		"default": {argument: required, run: func(x input) (Value, error) { return or(x.v.truth(), x.v, x.arg), nil }},
		"default_if_none": {argument: required, run: func(x input) (Value, error) {
			return or(x.v.kind != none, x.v, x.arg), nil
		}},
		"dictsort":         {argument: required, rows: keepsRows, run: func(x input) (Value, error) { return dictSort(x, false) }},
		"dictsortreversed": {argument: required, rows: keepsRows, run: func(x input) (Value, error) { return dictSort(x, true) }},
		"divisibleby":      plain(false, required, divisibleBy),
		"escape":           {text: true, safe: true, run: func(x input) (Value, error) { return safeText(x.v.escaped()), nil }},
		"escapejs":         {text: true, run: func(x input) (Value, error) { return safeText(escapeJS(x.v.text)), nil }},
		"escapeseq":        {safe: true, rows: wantsTexts, run: func(x input) (Value, error) { return each(x.v, func(v Value) Value { return safeText(v.escaped()) }) }},
		"filesizeformat":   plain(true, never, fileSize),
		"first":            {rows: takesRow, run: func(x input) (Value, error) { return element(x.v, 0) }},
		"floatformat":      plain(true, optional, floatFormat),
		"force_escape":     {text: true, safe: true, run: func(x input) (Value, error) { return safeText(escapeText(x.v.text)), nil }},
		"get_digit":        plain(false, required, getDigit),
		"intcomma":         plain(true, never, intComma),
		"iriencode":        onText(true, func(s string) string { return quoteURL(s, "/#%[]=:;$&()+,!?*@'~") }),
		"join":             {safe: true, argument: required, rows: wantsTexts, run: join},
		"json_script":      plain(true, optional, jsonScript),
		"last":             {safe: true, rows: takesRow, run: func(x input) (Value, error) { return element(x.v, -1) }},
		"length": {rows: countsRows, run: func(x input) (Value, error) {
			n, _ := x.v.length()
			return ofInt(n), nil
		}},
		"length_is":          {argument: required, rows: countsRows, run: lengthIs},
		"linebreaks":         escaping(lineBreaks),
		"linebreaksbr":       escaping(func(s string, escape bool) string { return breakLines(normalizeLines(s), escape) }),
		"linenumbers":        escaping(lineNumbers),
		"ljust":              onTextWith(func(s string, n int) (string, error) { return pad(s, n, 0) }),
		"lower":              onText(true, lower),
		"make_list":          {text: true, run: func(x input) (Value, error) { return characters(x.v), nil }},
		"ordinal":            plain(true, never, ordinalNumber),
		"phone2numeric":      plain(true, never, phoneNumber),
		"pluralize":          {argument: optional, rows: countsRows, run: pluralize},
		"rjust":              onTextWith(func(s string, n int) (string, error) { return pad(s, n, 1) }),
		"safe":               {text: true, safe: true, run: func(x input) (Value, error) { return safeText(x.v.text), nil }},
		"safeseq":            {safe: true, rows: wantsTexts, run: func(x input) (Value, error) { return each(x.v, markSafe) }},
		"slice":              {safe: true, argument: required, rows: keepsRows, run: slice},
		"slugify":            onText(true, slugify),
		"stringformat":       plain(true, required, stringFormat),
		"striptags":          onText(true, stripTags),
		"time":               {argument: optional, run: formatTime},
		"timesince":          {argument: optional, refusedAlone: asks, run: func(x input) (Value, error) { return timeBetween(x, false) }},
		"timeuntil":          {argument: optional, refusedAlone: asks, run: func(x input) (Value, error) { return timeBetween(x, true) }},
		"title":              onText(true, titleFilter),
		"truncatechars":      truncating(truncateChars),
		"truncatechars_html": truncating(truncateHTMLChars),
		"truncatewords":      truncating(truncateWords),
		"truncatewords_html": truncating(truncateHTMLWords),
		"unordered_list":     {safe: true, rows: wantsTexts, run: unorderedList},
		"upper":              onText(false, upper),
		"urlencode": {text: true, argument: optional, run: func(x input) (Value, error) {
			if !x.given {
				return Text(quoteURL(x.v.text, "/")), nil
			}
			return Text(quoteURL(x.v.text, x.arg.String())), nil
		}},
		"urlize":      {text: true, safe: true, run: func(x input) (Value, error) { return safeText(urlize(x, -1)), nil }},
		"urlizetrunc": {text: true, safe: true, argument: required, run: urlizeTrunc},
		"wordcount":   {text: true, run: func(x input) (Value, error) { return ofInt(len(fields(x.v.text))), nil }},
		"wordwrap":    onTextWith(wordWrap),
		"yesno":       {argument: optional, rows: countsRows, run: yesNo},
	}
}

// zoned is why a template cannot choose the zone of times.
const zoned = "the setting time_zone, of the pipeline and of a field, says what times are shown in"

// asks is why the current time is not to be had.
const asks = "it asks for the current time, and nothing would bring the document up to date as that passes"

// refusedFilters are Django's own that there are not, with the reason.
var refusedFilters = map[string]string{
	"intword": "it is not among Django's built-in filters", "naturalday": asks, "naturaltime": asks,
	"localtime": zoned, "timezone": zoned, "utc": zoned,
	"localize": english, "unlocalize": english,
	"language_bidi": english, "language_name": english, "language_name_local": english, "language_name_translated": english,

	"pprint": "it shows Python's own structures, for debugging",
	"random": "it gives another result each time, so that a document would never be equal to what its rows give",
}

func or(first bool, a, b Value) Value {
	if first {
		return a
	}
	return b
}
