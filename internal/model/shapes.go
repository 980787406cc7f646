package model

import "haystream/sources"

// Shapes are tables that refer to one another in all ways that matter.
func Shapes() map[string]Model {
	const cascade, null, restrict = sources.Cascade, sources.SetNull, sources.Restrict
	return map[string]Model{
		"levels": {Names: []string{"a", "b", "c"}, Refs: [][]Reference{{Nothing}, {Nothing, {0, cascade, cascade}}, {Nothing, {1, cascade, cascade}, {1, null, null}}}},
		"part":   {Names: []string{"a", "b", "c"}, Refs: [][]Reference{{Nothing}, {{0, cascade, cascade}, {0, null, null}}, {Nothing, {1, cascade, cascade}, {1, null, null}}}},
		"self":   {Names: []string{"a", "b"}, Refs: [][]Reference{{Nothing, {0, cascade, restrict}}, {Nothing, {0, null, restrict}}}},
		"ring":   {Names: []string{"a", "b", "c"}, Refs: [][]Reference{{Nothing, {2, cascade, restrict}}, {Nothing, {0, cascade, restrict}}, {Nothing, {1, cascade, restrict}}}},
		"moving": {Names: []string{"z", "a", "b"}, Refs: [][]Reference{{Nothing, {2, cascade, restrict}}, {{0, cascade, cascade}}, {Nothing, {1, cascade, cascade}}}},
		"mixed":  {Names: []string{"a", "b", "c"}, Refs: [][]Reference{{Nothing, {1, null, restrict}}, {Nothing, {0, cascade, restrict}, {1, cascade, restrict}}, {Nothing, {1, cascade, restrict}, {0, null, restrict}}}},
	}
}
