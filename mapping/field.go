package mapping

import (
	"maps"
	"slices"
	"strings"
	"time"

	"haystream/internal/conf"
	"haystream/mapping/expression"
	"haystream/sources"
)

// A fieldPlan is a field compiled: how it is rendered, and its mapping.
type fieldPlan struct {
	docField
	mapping object
}

// field compiles one field. Its content is nil where it has problems.
func (c *unitCompiler) field(name string, f *Field, at *scope) fieldPlan {
	before := len(*c.problems)
	plan := fieldPlan{docField: docField{omitNull: f.OmitNull || f.Default == nil && c.form().omitsNull(), fallback: []byte("null")}}
	var inferred object
	c.fieldForm(name, f)
	if alone := f.alone(); len(alone) == 1 {
		plan.content, inferred = c.content(name, f, at)
	} else {
		for _, one := range alone { // each may have mistakes of its own
			c.content(name, one, at)
		}
	}
	plan.mapping = c.fieldMapping(name, f, inferred, plan.content != nil)
	if f.Default != nil {
		fallback, err := canonical(f.Default)
		if err != nil {
			c.problems.add(c.fieldPath(name, "default"), "%v", err)
		}
		plan.fallback = fallback
	}
	if len(*c.problems) > before {
		plan.content = nil
	}
	return plan
}

// fieldForm checks which settings go together.
func (c *unitCompiler) fieldForm(name string, f *Field) {
	fail := func(setting, text string) { c.problems.add(c.fieldPath(name, setting), "%s", text) }
	if f.content() > 1 {
		c.problems.add(c.fieldPath(name), "give one of from, template, template_file, expr and value")
	}
	if f.Fields.any() && f.From == "" {
		fail("fields", "goes with from only, the relation to the rows that have them")
	}
	if f.TemplateFile != "" && !f.inlined {
		fail("template_file", "the file has not been read")
	}
	if f.inlined && f.Template == "" {
		fail("template_file", "the file is empty")
	}
	if f.Default != nil && f.OmitNull {
		fail("omit_null", "has no effect beside default")
	}
	if f.hasTemplate() && (f.Default != nil || f.OmitNull) {
		c.problems.add(c.fieldPath(name), "a template never gives NULL, so default and omit_null have no effect; use {{ … | default \"…\" }} in it")
	}
	if len(f.Exclude) > 0 && !f.Fields.All {
		fail("exclude", `goes with fields: "*" only`)
	}
	if f.DateFormat != "" && f.From == "" {
		fail("date_format", "goes with a date or timestamp column only")
	}
	for _, s := range []struct {
		name string
		set  bool
	}{
		{"document", f.Document},
		{"faceted", f.Faceted},
		{"facet_for", f.FacetFor != ""},
		{"indexed", f.Indexed != nil},
		{"stored", f.Stored != nil},
		{"boost", f.Boost != 0},
	} {
		if s.set && !c.form().haystack() {
			fail(s.name, "goes with haystack only")
		}
	}
	if err := checkEngine(f.Engine, f.hasTemplate()); err != nil {
		fail("engine", err.Error())
	}
	if f.TimeZone != "" && !f.hasTemplate() && f.Expr == "" && f.DateFormat == "" {
		fail("time_zone", "goes with a template, an expr or date_format")
	}
	if reserved, _, _ := strings.Cut(name, "."); slices.Contains(c.infer.rules.Reserved, reserved) {
		c.problems.add(c.fieldPath(name), "%q is a name of the sink's own; give the field another, or exclude the column", reserved)
	}
}

// fieldZone is a field's own time zone; nil for none.
func (c *unitCompiler) fieldZone(name string, f *Field) *time.Location {
	if f.TimeZone == "" {
		return nil
	}
	zone, err := parseZone(f.TimeZone)
	if err != nil {
		c.problems.add(c.fieldPath(name, "time_zone"), "%v", err)
	}
	return zone
}

// A zonedScope is a scope at which times are shown in another zone than the pipeline's, if there is one.
type zonedScope struct {
	*scope
	zone *time.Location
}

// Zone is the zone.
func (s zonedScope) Zone() *time.Location {
	if s.zone != nil {
		return s.zone
	}
	return s.scope.Zone()
}

// content compiles where a field's value comes from, and infers its mapping
// (nil where that is not known).
func (c *unitCompiler) content(name string, f *Field, at *scope) (content, object) {
	switch {
	case f.TemplateFile != "" && f.Template == "":
		return nil, nil // told by fieldForm
	case f.hasTemplate():
		setting := "template"
		if f.inlined {
			setting = "template_file"
		}
		t := templateText{text: f.Template, engine: f.Engine, prefers: c.form().engine(), zone: c.fieldZone(name, f), file: f.File, includes: f.Includes}
		compiled, err := t.compile(at)
		if err != nil {
			c.problems.addEach(c.fieldPath(name, setting), err)
			return nil, nil
		}
		if compiled.engine == engineDjango || t.prefers == engineDjango {
			f.Engine = compiled.engine // it is saved as it was understood
		}
		return c.form().value(&templateContent{compiled, t.zone}, c.form().text(), f.wantedType())
	case f.Expr != "":
		zone := c.fieldZone(name, f)
		e, err := expression.Compile(f.Expr, zonedScope{at, zone})
		if err != nil {
			c.problems.addEach(c.fieldPath(name, "expr"), err)
			return nil, nil
		}
		return c.form().value(&expressionContent{e, zone}, expressionMapping(e.Type()), f.wantedType())
	case f.Value != nil:
		value, err := canonical(f.Value)
		if err != nil {
			c.problems.add(c.fieldPath(name, "value"), "%v", err)
			return nil, nil
		}
		return c.form().value(valueContent(value), valueMapping(value), f.wantedType())
	}
	return c.pathField(name, f, at)
}

// pathField compiles a field that shows what a path leads to.
func (c *unitCompiler) pathField(name string, f *Field, at *scope) (content, object) {
	if at.unknown() {
		return c.unknownField(name, f, at)
	}
	p, err := at.usePath(f.From)
	if err != nil {
		c.problems.addEach(c.fieldPath(name), err)
		return nil, nil
	}
	var of content
	var inferred object
	switch {
	case p.computed != nil && f.DateFormat == "":
		of, inferred = c.form().value(&computedContent{p.scope, p.computed}, c.form().text(), f.wantedType())
		if f.Fields.any() {
			c.problems.add(c.fieldPath(name, "fields"), "%s is no relation", f.From)
		}
	case p.column < 0 && f.DateFormat == "":
		of, inferred = c.rowsField(name, f, p)
	case f.Fields.any():
		c.problems.add(c.fieldPath(name, "fields"), "%s is a column, no relation", f.From)
	case p.column < 0:
		c.problems.add(c.fieldPath(name, "date_format"), "goes with a date or timestamp column only")
	default:
		of, inferred = c.columnField(name, f, p)
		if of != nil && p.scope.column(p.column).Raw {
			of = &rawContent{of, p.scope.table, p.column}
		}
	}
	if of == nil {
		return nil, nil
	}
	return along(p, of), inferred
}

// unknownField checks what needs no table of a field that shows a path's end.
func (c *unitCompiler) unknownField(name string, f *Field, at *scope) (content, object) {
	if f.DateFormat != "" && f.DateFormat != epochMillis && f.DateFormat != epochSecond {
		c.checkLayout(name, f)
	}
	if f.Fields.any() {
		return c.rowsField(name, f, fieldPath{scope: at, column: -1})
	}
	return valueContent("null"), nil
}

// rowsField compiles a field that shows related rows as objects.
func (c *unitCompiler) rowsField(name string, f *Field, p fieldPath) (content, object) {
	if !f.Fields.any() {
		c.problems.add(c.fieldPath(name), "%s leads to rows of table %s; write %s and a dot before one of their columns, or list their columns under fields", f.From, p.scope.table, f.From)
		return nil, nil
	}
	properties := object{}
	root := &docField{}
	c.expand(name, f, p.scope)
	c.within = append(c.within, name, "fields")
	for _, inner := range slices.Sorted(maps.Keys(f.Fields.Named)) {
		if plan := c.field(inner, f.Fields.Named[inner], p.scope); plan.content != nil {
			c.place(root, properties, inner, plan)
		}
	}
	c.within = c.within[:len(c.within)-2]
	root.sort()
	boxes := slices.ContainsFunc(slices.Collect(maps.Values(f.Fields.Named)), func(f *Field) bool { return f.hasTemplate() || f.Expr != "" })
	return &objectContent{scope: p.scope, fields: root.fields, boxes: boxes}, object{"properties": properties}
}

// expand writes out "*" of a field that shows related rows.
func (c *unitCompiler) expand(name string, f *Field, at *scope) {
	if !f.Fields.All || at.unknown() {
		return
	}
	names := at.source.Names(every(len(at.source.Columns)))
	for _, column := range f.Exclude {
		if !slices.Contains(names, column) {
			c.problems.add(c.fieldPath(name, "exclude"), "no column %q in %s%s", column, at.source, conf.DidYouMean(column, names))
		}
	}
	fields := map[string]*Field{}
	expandColumns(fields, at.source, f.Exclude, f.Fields.Named, c.warn)
	maps.Copy(fields, f.Fields.Named)
	f.Fields, f.Exclude = Fields{Named: fields}, nil // for what is saved, too
}

// columnField compiles a field that shows a column, or a value inside one.
func (c *unitCompiler) columnField(name string, f *Field, p fieldPath) (content, object) {
	at, i := c.fieldPath(name), p.column
	t := &p.scope.table.Columns[i].Type
	isDate := t.Kind == sources.Date || t.Kind == sources.Timestamp || t.Kind == sources.TimestampTZ
	switch {
	case f.DateFormat != "" && (!isDate || p.into != nil):
		c.problems.add(at+".date_format", "goes with a date or timestamp column only; %s is %s", f.From, t.SQL)
	case f.DateFormat == epochMillis || f.DateFormat == epochSecond:
		return &dateContent{i, f.DateFormat, nil}, object{"type": "date", "format": f.DateFormat}
	case f.DateFormat != "":
		c.checkLayout(name, f)
		return &dateContent{i, f.DateFormat, c.fieldZone(name, f)}, object{"type": "keyword"}
	case p.scope.table.Open && t.Kind == sources.JSON: // nothing is known of it, so that the field must have a type
		var of content = &columnContent{i, t}
		if p.into != nil {
			of = &pathContent{i, p.into}
		}
		of, _ = jsonContent(of, f.wantedType(), nil)
		return c.form().value(of, nil, f.wantedType())
	case p.into != nil:
		of, inferred := jsonContent(&pathContent{i, p.into}, f.wantedType(), c.form().text())
		return c.form().value(of, inferred, f.wantedType())
	case f.wantedType() == "geo_point" && t.Kind == sources.JSON && isGeometry(t.SQL):
		return &geoPoint{columnContent{i, t}}, object{"type": "geo_point"}
	case f.wantedType() == "geo_shape" && t.Kind == sources.Point:
		return &geoShape{columnContent{i, t}}, object{"type": "geo_shape"}
	case t.Kind == sources.Bool && slices.Contains(numberTypes, f.wantedType()):
		return &boolNumber{i}, object{"type": "byte"}
	case t.Kind == sources.Int && f.wantedType() == "boolean":
		return &numberBool{i}, object{"type": "boolean"}
	}
	return c.form().column(c.infer, i, t, f.wantedType())
}

// jsonContent is JSON as a field of that type takes it; empty: the inferred one.
func jsonContent(of content, wanted string, inferred object) (content, object) {
	if wanted == "" {
		wanted, _ = inferred["type"].(string)
	}
	switch wanted {
	case "text", "keyword", "wildcard", "match_only_text", "search_as_you_type":
		return &textOfJSON{of}, inferred
	case flattened, flatObject:
		return &flatJSON{of}, inferred
	}
	return of, inferred
}

// The types of Elasticsearch and OpenSearch for objects of any members.
const (
	flattened  = "flattened"
	flatObject = "flat_object"
)

// objectMapping completes the mapping of a field that takes objects. One that
// names no properties takes any.
func (x *inferrer) objectMapping(m object) object {
	switch t := m["type"]; {
	case t == flattened && !x.has(flattened) && x.has(flatObject):
		return object{"type": flatObject}
	case t == flatObject && !x.has(flatObject) && x.has(flattened):
		return object{"type": flattened, "ignore_above": number(keywordCapacity)}
	case t == flattened && m["ignore_above"] == nil:
		m["ignore_above"] = number(keywordCapacity)
	case (t == "object" || t == "nested") && m["properties"] == nil && m["dynamic"] == nil && m["enabled"] == nil:
		m["dynamic"] = true
	}
	return m
}

// numberTypes are the sink's field types that take numbers and refuse true and false.
var numberTypes = []string{
	"byte", "short", "integer", "long", "unsigned_long", "half_float", "float", "double", "scaled_float", "rank_feature",
}

// wantedType is the type that a field is given; empty where it is inferred.
func (f *Field) wantedType() string {
	if f.Type != "" {
		return f.Type
	}
	over, _ := decodeObject(f.Mapping)
	t, _ := over["type"].(string)
	return t
}

// checkLayout refuses a date_format that is no Go layout, or that the sink
// would not be able to read as a date.
func (c *unitCompiler) checkLayout(name string, f *Field) {
	at := c.fieldPath(name, "date_format")
	a := time.Date(2001, 11, 22, 13, 44, 55, 123456789, time.UTC)
	b := time.Date(1999, 8, 9, 1, 2, 3, 987654321, time.UTC)
	if a.Format(f.DateFormat) == b.Format(f.DateFormat) {
		c.problems.add(at, "%q is not a layout; write Go's reference time 2006-01-02T15:04:05 in the wanted form, or %s or %s", f.DateFormat, epochMillis, epochSecond)
		return
	}
	over, _ := decodeObject(f.Mapping)
	if strings.HasPrefix(f.Type, "date") && over["format"] == nil {
		c.problems.add(at, "with type %s the sink must be told how to read it: add mapping: {format: …} in its own notation", f.Type)
	}
}

// fieldMapping puts together what is inferred and what the field says.
func (c *unitCompiler) fieldMapping(name string, f *Field, inferred object, compiled bool) object {
	at := c.fieldPath(name)
	over, err := decodeObject(f.Mapping)
	if err != nil {
		c.problems.add(at+".mapping", "%v", err)
	}
	if f.Document && inferred != nil {
		inferred = c.form().text()
	}
	m, own := inferred, c.form().types()
	switch {
	case own[f.Type] != nil:
		m = own[f.Type]
	case f.Type != "":
		if hint := c.infer.misspelt(f.Type, own); hint != "" {
			c.problems.add(at+".type", "there is no type %q%s", f.Type, hint)
		}
		m = typed(f.Type, inferred)
	case over["type"] != nil && over["type"] != inferred["type"]:
		t, _ := over["type"].(string)
		m = typed(t, inferred)
	case m == nil && over["properties"] != nil:
		m = object{}
	case m == nil && compiled && (!c.root.unknown() || f.Value != nil):
		c.problems.add(at, "the type of its values is not known; give it a type")
	}
	m = cloneObject(c.form().mapping(c.infer, f, m))
	override(m, over)
	if m["type"] == "scaled_float" && m["scaling_factor"] == nil && (!c.root.unknown() || f.From == "") {
		c.problems.add(at, "scaled_float wants mapping: {scaling_factor: …}")
	}
	return c.infer.objectMapping(m)
}

// cloneObject copies an object deeply.
func cloneObject(o object) object {
	c := object{}
	override(c, o)
	for k, v := range c {
		if inner, ok := v.(object); ok {
			c[k] = cloneObject(inner)
		}
	}
	return c
}
