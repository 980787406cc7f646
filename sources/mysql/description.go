package mysql

import (
	"strings"

	"github.com/go-mysql-org/go-mysql/replication"
)

// A description is what the log says of a table's columns: of when its changes
// were made, which may be before or after the catalog was read. Signs and
// character sets are always in MySQL's, labels with binlog_row_metadata=FULL.
type description struct {
	*replication.TableMapEvent
	catalog *catalog

	unsigned          map[int]bool
	texts, labels     map[int]uint64 // collations
	enumerated, multi map[int][]string
}

func (c *catalog) describe(event *replication.TableMapEvent) *description {
	return &description{
		TableMapEvent: event, catalog: c,
		unsigned: event.UnsignedMap(), texts: event.CollationMap(), labels: event.EnumSetCollationMap(),
		enumerated: event.EnumStrValueMap(), multi: event.SetStrValueMap(),
	}
}

// column is the catalog's column with what the log says differently of its i-th one.
func (d *description) column(i int, c *column) *column {
	was := c.catalogColumn
	switch was.dataType {
	case "tinyint", "smallint", "mediumint", "int", "bigint":
		if unsigned, known := d.unsigned[i]; known {
			was.setUnsigned(unsigned)
		}
	case "enum":
		was.setLabels(d.text(i, d.enumerated[i]))
	case "set":
		was.setLabels(d.text(i, d.multi[i]))
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext":
		if set := d.catalog.charsets[d.texts[i]]; set != "" {
			was.charset = set
		}
	}
	if was == c.catalogColumn {
		return c
	}
	described := &column{catalogColumn: was}
	described.columnType, described.refused = resolveType(d.catalog.flavor, was)
	return described
}

// text converts labels, which the log has in their column's character set; nil
// where it has none that can be read.
func (d *description) text(i int, labels []string) []string {
	convert, err := charsetConverter(d.catalog.charsets[d.labels[i]])
	if err != nil {
		return nil
	}
	if convert == nil {
		return labels
	}
	converted := make([]string, len(labels))
	for n, label := range labels {
		text, err := convert(nil, []byte(label))
		if err != nil {
			return nil
		}
		converted[n] = string(text)
	}
	return converted
}

func (c *catalogColumn) setUnsigned(unsigned bool) {
	const word = " unsigned"
	if unsigned == strings.Contains(c.fullType, word) {
		return
	}
	if c.fullType = strings.ReplaceAll(c.fullType, word, ""); unsigned {
		c.fullType += word
	}
}

// setLabels leaves the type as the catalog writes it where it has these labels.
func (c *catalogColumn) setLabels(labels []string) {
	if len(labels) == 0 {
		return
	}
	known, err := parseLabels(c.fullType)
	same := err == nil && len(known) == len(labels)
	for i := 0; same && i < len(labels); i++ {
		same = string(known[i]) == labels[i]
	}
	if same {
		return
	}
	quoted := make([]string, len(labels))
	for i, label := range labels {
		quoted[i] = "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(label) + "'"
	}
	c.fullType = c.dataType + "(" + strings.Join(quoted, ",") + ")"
}
