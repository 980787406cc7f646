package bulk

import (
	"strings"

	"haystream/sinks"
)

// Rules are those of Elasticsearch and OpenSearch for names and fields, which hold for
// whatever the lines are applied to.
func Rules() sinks.Rules {
	return sinks.Rules{
		IndexName: badAlias,
		LongestID: 512,
		Reserved: []string{
			"_id", "_index", "_type", "_source", "_routing", "_version", "_seq_no", "_primary_term", "_field_names", "_ignored", "_size", "_doc_count", "_meta", "_tier",
		},
		FieldTypes: []string{
			"alias", "annotated_text", "binary", "boolean", "byte", "completion", "constant_keyword", "date", "date_nanos",
			"date_range", "dense_vector", "double", "double_range", "flat_object", "flattened", "float", "float_range", "geo_point",
			"geo_shape", "half_float", "histogram", "integer", "integer_range", "ip", "ip_range", "join", "keyword",
			"knn_vector", "long", "long_range", "match_only_text", "murmur3", "nested", "object", "percolator", "point",
			"rank_feature", "rank_features", "scaled_float", "search_as_you_type", "semantic_text", "shape", "short",
			"sparse_vector", "text", "token_count", "unsigned_long", "version", "wildcard",
		},
	}
}

// longestAlias leaves room for the physical index's timestamp and its write
// alias in the servers' limit of 255 bytes.
const longestAlias = 200

// badAlias says why the servers do not take a name; empty where they do.
func badAlias(alias string) string {
	switch {
	case alias != strings.ToLower(alias):
		return "capital letters are not allowed"
	case strings.ContainsAny(alias, `\/*?"<>|, #:`):
		return `it must not hold a space or one of \ / * ? " < > | , # :`
	case strings.HasPrefix(alias, "-"), strings.HasPrefix(alias, "_"), strings.HasPrefix(alias, "+"):
		return "it must not begin with - _ +"
	case alias == "." || alias == ".." || alias == "":
		return "it is no name"
	case len(alias) > longestAlias:
		return "it is too long"
	}
	return ""
}
