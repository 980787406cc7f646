package mapping

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"haystream/internal/conf"
	"haystream/mapping/expression"
	"haystream/sinks"
	"haystream/sources"
)

// Formats of date fields. The sink's own default refuses years beyond 9999
// with the sign that ISO 8601 wants there.
const (
	dateFormat      = "strict_date_optional_time||epoch_millis||uuuu-MM-dd"
	timestampFormat = "strict_date_optional_time||epoch_millis||uuuu-MM-dd['T'HH:mm:ss[.SSSSSS][.SSSSS][.SSSS][.SSS][.SS][.S][X]]"
)

const (
	longestKeyword  = 256  // declared characters up to which text is a keyword
	ignoreAbove     = 256  // characters that a text's keyword sub-field indexes
	keywordCapacity = 8191 // characters that always fit the sink's 32,766 bytes for a term
	scaledDigits    = 18   // digits that fit the long behind a scaled_float
)

// An inferrer knows the sink's field types.
type inferrer struct {
	rules sinks.Rules

	warn func(text string) // of what the sink lacks
}

// missed warns of a type that the sink lacks.
func (x *inferrer) missed(wanted, instead string) {
	x.warn("the sink has no field type " + wanted + "; " + instead + " is used instead")
}

func (x *inferrer) has(t string) bool { return x.rules.Types == nil || x.rules.Types[t] }

// column is the mapping of a column of that type.
func (x *inferrer) column(t *sources.Type) object {
	switch t.Kind {
	case sources.Bool:
		return object{"type": "boolean"}
	case sources.Int:
		return object{"type": x.integer(t)}
	case sources.Float:
		if t.Size == 4 {
			return object{"type": "float"}
		}
		return object{"type": "double"}
	case sources.Decimal:
		return x.decimal(t)
	case sources.Bytes:
		return object{"type": "binary"}
	case sources.Date:
		return object{"type": "date", "format": dateFormat}
	case sources.Timestamp, sources.TimestampTZ:
		return object{"type": "date", "format": timestampFormat}
	case sources.JSON:
		return x.json(t)
	case sources.Array:
		return x.column(t.Elem)
	case sources.Range:
		return x.rangeOf(t.Elem)
	case sources.Inet:
		return object{"type": "ip", "ignore_malformed": true}
	case sources.Point:
		switch {
		case isProjected(t.SQL):
			return closedObject()
		case t.SQL == "point": // of a plane; need not be on the globe
			return object{"type": "geo_point", "ignore_malformed": true}
		}
		return object{"type": "geo_point"}
	case sources.Keyword:
		return keyword(t.Size)
	}
	if t.Size > 0 && t.Size <= longestKeyword || isFixedText(t.SQL) {
		return keyword(t.Size)
	}
	return textWithKeyword()
}

// json is the mapping of JSON, which geometries are too. Those need not be on the globe.
func (x *inferrer) json(t *sources.Type) object {
	switch {
	case !isGeometry(t.SQL):
	case isProjected(t.SQL):
		return closedObject()
	case x.has("geo_shape"):
		return object{"type": "geo_shape", "ignore_malformed": true}
	default:
		x.missed("geo_shape", "object")
	}
	return object{"type": "object", "dynamic": true}
}

// closedObject is for values that are shown and not searched.
func closedObject() object { return object{"type": "object", "enabled": false} }

// isGeometry reports whether the SQL type is a geometry of any server's.
func isGeometry(sql string) bool {
	name, _, _ := strings.Cut(sql, "(")
	switch name[strings.LastIndexByte(name, '.')+1:] {
	case "geometry", "geography", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geomcollection", "geometrycollection":
		return true
	}
	return false
}

// isProjected reports whether a PostGIS column is declared to be of a reference
// system whose coordinates are not longitude and latitude: any but 4326.
func isProjected(sql string) bool {
	_, system, declared := strings.Cut(sql, ",")
	return declared && isGeometry(sql) && system != "4326)"
}

// isFixedText reports whether the SQL type is char(n).
func isFixedText(sql string) bool {
	return strings.HasPrefix(sql, "character(") || strings.HasPrefix(sql, "char(")
}

func keyword(size int) object {
	if size > keywordCapacity {
		return object{"type": "keyword", "ignore_above": number(keywordCapacity)}
	}
	return object{"type": "keyword"}
}

func textWithKeyword() object {
	return object{"type": "text", "fields": object{"keyword": object{"type": "keyword", "ignore_above": number(ignoreAbove)}}}
}

func number(n int) json.Number { return json.Number(strconv.Itoa(n)) }

func (x *inferrer) integer(t *sources.Type) string {
	switch {
	case t.Size == 0:
		return "long"
	case t.Size == 1 && !t.Unsigned:
		return "byte"
	case t.Size <= 2 && !t.Unsigned, t.Size == 1:
		return "short"
	case t.Size <= 4 && !t.Unsigned, t.Size <= 3:
		return "integer"
	case t.Size == 8 && t.Unsigned:
		if x.has("unsigned_long") {
			return "unsigned_long"
		}
		x.missed("unsigned_long", "double")
		return "double"
	}
	return "long"
}

// decimal is a scaled_float where the column's digits fit one.
func (x *inferrer) decimal(t *sources.Type) object {
	switch {
	case t.Precision == 0 || t.Precision+max(-t.Scale, 0) > scaledDigits || t.Scale > scaledDigits:
		return object{"type": "double"}
	case t.Scale <= 0:
		return object{"type": "long"}
	case x.has("scaled_float"):
		return object{"type": "scaled_float", "scaling_factor": json.Number("1" + strings.Repeat("0", t.Scale))}
	}
	x.missed("scaled_float", "double")
	return object{"type": "double"}
}

// dynamicRules are for the sink's guesses inside objects whose keys are not
// known: a value must not be refused because an earlier one looked like a date
// or a whole number.
func dynamicRules() object {
	double := object{"type": "double", "ignore_malformed": true}
	return object{
		"date_detection": false,
		"dynamic_templates": []any{
			object{"whole_numbers": object{"match_mapping_type": "long", "mapping": double}},
			object{"numbers": object{"match_mapping_type": "double", "mapping": double}},
		},
	}
}

// hasDynamic reports whether one of the properties takes unknown keys.
func hasDynamic(properties object) bool {
	for _, p := range properties {
		o, _ := p.(object)
		inner, _ := o["properties"].(object)
		if o["dynamic"] == true || hasDynamic(inner) {
			return true
		}
	}
	return false
}

func (x *inferrer) rangeOf(elem *sources.Type) object {
	switch elem.Kind {
	case sources.Int:
		if elem.Size == 8 {
			return object{"type": "long_range"}
		}
		return object{"type": "integer_range"}
	case sources.Float, sources.Decimal:
		return object{"type": "double_range"}
	case sources.Date:
		return object{"type": "date_range", "format": dateFormat}
	case sources.Timestamp, sources.TimestampTZ:
		return object{"type": "date_range", "format": timestampFormat}
	}
	return object{"type": "object", "dynamic": true}
}

// expressionMapping is the mapping of an expression's values; nil where their
// type does not tell.
func expressionMapping(t expression.Type) object {
	switch t {
	case expression.BoolType, expression.TinyintType:
		return object{"type": "boolean"}
	case expression.IntType:
		return object{"type": "long"}
	case expression.DecimalType, expression.FloatType:
		return object{"type": "double"}
	case expression.TextType:
		return textWithKeyword()
	case expression.TimeType:
		return object{"type": "date", "format": timestampFormat}
	}
	return nil
}

// valueMapping is the mapping of a constant; nil where it does not tell.
func valueMapping(raw json.RawMessage) object {
	switch raw[0] {
	case '"':
		return object{"type": "keyword"}
	case 't', 'f':
		return object{"type": "boolean"}
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		if strings.ContainsAny(string(raw), ".eE") {
			return object{"type": "double"}
		}
		return object{"type": "long"}
	}
	return nil
}

// typed is the mapping for a type that a field names; what was inferred stays
// where it says how such a type is to be read.
func typed(t string, inferred object) object {
	o := object{"type": t}
	if inferred["type"] == t {
		return inferred
	}
	if properties, ok := inferred["properties"]; ok {
		o["properties"] = properties
	}
	switch {
	case t == "date" || t == "date_nanos" || t == "date_range":
		if f, ok := inferred["format"]; ok {
			o["format"] = f
		}
	case t == "nested" && inferred["type"] == "object":
		o["dynamic"] = inferred["dynamic"]
	case t == "scaled_float" && inferred["scaling_factor"] != nil:
		o["scaling_factor"] = inferred["scaling_factor"]
	}
	return o
}

// misspelt returns a suggestion where t is no known type but close to one.
func (x *inferrer) misspelt(t string, own map[string]object) string {
	if slices.Contains(x.rules.FieldTypes, t) {
		return ""
	}
	return conf.DidYouMean(t, slices.AppendSeq(slices.Clone(x.rules.FieldTypes), maps.Keys(own)))
}
