package mapping

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"haystream/mapping/expression"
	"haystream/sources"
)

// A unit is one definition applied to one table. It is compiled twice: against
// the table of the catalog, which tells the columns that are used, and against
// the table projected to the columns that all units use.
type unit struct {
	set     int
	name    string // the definition's
	alias   string
	def     *Definition
	glob    bool
	schemas bool // the glob spans schemas
	table   *sources.Table
	schema  *schema
	key     []string
	fields  map[string]*Field                     // "*" expanded
	root    *scope                                // of the first pass
	first   compiled                              // by the first pass; without a mapping where there are problems
	warn    func(t *sources.Table, column string) // of a column that "*" leaves out
	joined  []string                              // why its rows must be stored; none where they need not be
}

// newUnit returns a unit that has no table yet; d may be nil.
func newUnit(set int, name string, d *Definition, s *schema) unit {
	if d == nil {
		d = &Definition{}
	}
	u := unit{set: set, name: name, alias: name, def: d.ofEvents(name), schema: s}
	if d.Index != "" {
		u.alias = d.Index
	}
	return u
}

// compiled is what a unit becomes.
type compiled struct {
	renderer *Renderer
	mapping  object   // of the document, such as {"dynamic":"strict","properties":{…}}
	outside  []string // what else makes it need stored rows
}

// A unitCompiler compiles one unit against one table.
type unitCompiler struct {
	*unit
	table    *sources.Table
	infer    *inferrer
	problems *Problems
	root     *scope
	within   []string // the fields around the one that is compiled
	out      compiled
}

// form is the definition's, which writes times in the pipeline's zone.
func (u *unit) form() form {
	if h, ok := u.def.form().(haystackForm); ok && u.schema.zone != nil {
		h.zone = u.schema.zone
		return h
	}
	return u.def.form()
}

// path is where a setting of the definition is in the configuration.
func (u *unit) path(parts ...string) string {
	return strings.Join(append([]string{"indexes", u.name}, parts...), ".")
}

// fieldPath is where a setting of a field is.
func (c *unitCompiler) fieldPath(name string, parts ...string) string {
	return c.path(slices.Concat([]string{"fields"}, c.within, []string{name}, parts)...)
}

// compile compiles the unit against the tables of a tree.
func (u *unit) compile(tree *tree, infer *inferrer, problems *Problems) compiled {
	tree.uuids, tree.useTZ = u.form().uuids(), u.form().useTZ()
	root := tree.root(u.table)
	c := &unitCompiler{unit: u, table: root.table, root: root, infer: infer, problems: problems}
	r := &Renderer{Name: u.name, Table: c.table, Append: u.def.Mode == ModeAppend, root: root}
	c.out = compiled{renderer: r}
	tree.purpose = forWhere
	c.where(r)
	tree.purpose = forName
	c.names(r)
	c.partition(r)
	tree.purpose = forFields
	c.document(r)
	for _, i := range r.id.columns {
		root.used[i] |= forName
	}
	if r.partition != nil {
		root.used[r.partition.column] |= forName
	}
	root.settle()
	return c.out
}

func (c *unitCompiler) where(r *Renderer) {
	if c.def.Where == "" {
		return
	}
	e, err := expression.CompileCondition(c.def.Where, c.root)
	if err != nil {
		c.problems.addEach(c.path("where"), err)
		return
	}
	if e.Timed() && c.def.Events != nil {
		c.problems.add(c.path("where"), "an event is looked at once, when it comes, so that now() has no meaning; ask for the time in searches")
	}
	r.where = &condition{e, c.root.readFor(forWhere, nil)}
}

// names compiles the id and the routing.
func (c *unitCompiler) names(r *Renderer) {
	r.id = &documentName{what: "id", longest: c.infer.rules.LongestID, key: c.keyColumns(), uuids: c.form().uuids()}
	r.id.columns = r.id.key
	switch prefix, form := c.form().ids(); {
	case c.def.ID != (Template{}):
		if n := c.name("id", c.def.ID); n != nil {
			n.required = true
			r.id = n
		}
	case form != "":
		r.id.prefix = []byte(prefix)
		r.id.escaped = len(r.id.key) > 1
	case c.glob:
		r.id.prefix = []byte(c.idPrefix())
		r.id.escaped = true
	default:
		r.id.escaped = len(r.id.key) > 1
	}
	if c.def.Routing != (Template{}) {
		r.routing = c.name("routing", c.def.Routing)
	}
}

// idPrefix begins the default ids of a glob's table: its name, so that the
// tables' ids differ.
func (u *unit) idPrefix() string {
	name := u.table.Name
	if u.schemas {
		name = u.table.String()
	}
	return string(appendEscaped(nil, []byte(name))) + ":"
}

// keyColumns are the key's columns in the table.
func (c *unitCompiler) keyColumns() []int {
	key := make([]int, 0, len(c.key))
	for _, name := range c.key {
		if i := c.table.Column(name); i >= 0 {
			key = append(key, i)
		}
	}
	return key
}

// name compiles an id or routing: a column, a path, or a template.
func (c *unitCompiler) name(what string, setting Template) *documentName {
	text := setting.Text
	if err := checkEngine(setting.Engine, isTemplate(text)); err != nil {
		c.problems.add(c.path(what, "engine"), "%v", err)
		return nil
	}
	n := &documentName{what: what, longest: c.infer.rules.LongestID, scope: c.root, uuids: c.form().uuids()}
	switch {
	case isTemplate(text) || c.table.Column(text) >= 0:
	case c.schema.isComputed(c.unit.table, text):
		text = fmt.Sprintf("{{ index . %q }}", text)
	case strings.Contains(text, "."):
		text = "{{ ." + text + " }}" // a path
	}
	if isTemplate(text) {
		before := c.root.readFor(forName, nil)
		t, err := templateText{text: text, engine: setting.Engine, plain: true}.compile(c.root)
		if err != nil {
			c.problems.addEach(c.path(what), err)
			return nil
		}
		n.template, n.columns = t, slices.Concat(t.columns, c.root.readFor(forName, append(before, t.columns...)))
	} else {
		i, err := c.root.use(text)
		if err != nil {
			c.problems.add(c.path(what), "%v; it is a column, a path to one, or a template with {{ }}", err)
			return nil
		}
		n.key, n.columns = []int{i}, []int{i}
	}
	for _, i := range n.columns { // without the old value the document that a row leaves could not be found
		if c.def.Mode != ModeAppend && !c.table.CarriesOld(i) {
			c.out.outside = append(c.out.outside, "its "+what+" comes from column "+c.table.Columns[i].Name+", whose old value is not in the log")
		}
	}
	return n
}

// fullIdentity is the statement that makes the log carry every old value.
func fullIdentity(t *sources.Table) string {
	if t.WholeRows != "" {
		return t.WholeRows
	}
	return "ALTER TABLE " + sqlName(t) + " REPLICA IDENTITY FULL"
}

// document compiles the fields and their mapping.
func (c *unitCompiler) document(r *Renderer) {
	root := &docField{}
	properties := object{}
	for _, name := range slices.Sorted(maps.Keys(c.fields)) {
		f := c.field(name, c.fields[name], c.root)
		if f.content != nil {
			c.place(root, properties, name, f)
		}
	}
	key := &documentName{what: "id", longest: r.id.longest, key: c.keyColumns(), uuids: c.form().uuids()}
	key.escaped = len(key.key) > 1
	for name, f := range c.form().fields(r.id, key, c.table) {
		if _, taken := c.fields[name]; !taken { // check reports it
			c.place(root, properties, name, f)
		}
	}
	root.sort()
	r.fields = root.fields
	r.needs = c.root.columnsFor(forFields)
	c.out.mapping = object{"dynamic": "strict", "properties": properties}
	if hasDynamic(properties) {
		override(c.out.mapping, dynamicRules())
	}
	over, err := decodeObject(c.def.Mapping)
	if err != nil {
		c.problems.add(c.path("mapping"), "%v", err)
	}
	override(c.out.mapping, over)
}

// place puts a field into the document and the mapping; dots in its name lead
// into objects.
func (c *unitCompiler) place(root *docField, properties object, name string, f fieldPlan) {
	parts := strings.Split(name, ".")
	at, props := root, properties
	for i, part := range parts {
		last := i == len(parts)-1
		next := at.child(part)
		if part == "" || next != nil && (last || next.content != nil) {
			c.problems.add(c.fieldPath(name), "dots in names make objects, and another field has %q already, so that it would be a value and an object at once", strings.Join(parts[:i+1], "."))
			return
		}
		if last {
			leaf := f.docField
			leaf.name, leaf.key = name, jsonKey(part)
			at.fields = append(at.fields, &leaf)
			props[part] = f.mapping
			return
		}
		if next == nil {
			next = &docField{name: part, key: jsonKey(part)}
			at.fields = append(at.fields, next)
			props[part] = object{"properties": object{}}
		}
		at = next
		props, _ = props[part].(object)["properties"].(object)
	}
}

func jsonKey(name string) []byte {
	return append(sources.AppendJSONString(nil, []byte(name)), ':')
}

func (f *docField) child(name string) *docField {
	key := string(jsonKey(name))
	for _, c := range f.fields {
		if string(c.key) == key {
			return c
		}
	}
	return nil
}

func (f *docField) sort() {
	slices.SortFunc(f.fields, func(a, b *docField) int { return bytes.Compare(a.key, b.key) })
	for _, c := range f.fields {
		c.sort()
	}
}

// expandFields returns the definition's fields with "*" written out.
func expandFields(d *Definition, table *sources.Table, schema *schema, warn func(t *sources.Table, column string)) map[string]*Field {
	fields := map[string]*Field{}
	if d.Fields.All {
		without := slices.Clone(d.Exclude)
		for i := range table.Columns {
			if name := table.Columns[i].Name; d.form().reserves(name) {
				without = append(without, name)
			}
		}
		expandColumns(fields, table, without, d.Fields.Named, warn)
	}
	for name, f := range d.Fields.Named {
		full := f.full(name)
		if len(d.Only) > 0 && full.From != "" && !schema.knows(table, full.From) {
			continue // of another table: written out from a saved glob's "*"
		}
		fields[name] = full
	}
	return fields
}

// expandColumns adds a field for every column of a table but for those to be left out.
// One that the log does not have is warned of, unless a field of its name is given.
func expandColumns(fields map[string]*Field, table *sources.Table, without []string, given map[string]*Field, warn func(t *sources.Table, column string)) {
	for i := range table.Columns {
		switch column := &table.Columns[i]; {
		case slices.Contains(without, column.Name) || given[column.Name] != nil && column.NotLogged:
		case column.NotLogged:
			warn(table, column.Name)
		default:
			fields[column.Name] = &Field{From: column.Name}
		}
	}
}

// full is the field with what it leaves out filled in; f may be nil.
func (f *Field) full(name string) *Field {
	full := Field{}
	if f != nil {
		full = *f
	}
	if full.content() == 0 {
		full.From = name
	}
	if full.Fields.any() {
		inner := map[string]*Field{}
		for name, f := range full.Fields.Named {
			inner[name] = f.full(name)
		}
		full.Fields.Named = inner
	}
	return &full
}

// addEach adds the parts of a joined error as problems of their own.
func (p *Problems) addEach(path string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			p.add(path, "%v", e)
		}
		return
	}
	p.add(path, "%v", err)
}
