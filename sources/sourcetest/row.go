package sourcetest

import "haystream/sources"

// Row builds a row of texts, in memory of its own; "-" is NULL, "?" is Missing.
func Row(texts ...string) sources.Row {
	a := &sources.Arena{}
	a.StartRow(len(texts))
	for _, text := range texts {
		switch text {
		case "-":
			a.Null()
		case "?":
			a.Missing()
		default:
			a.Text([]byte(text))
		}
	}
	return a.EndRow()
}
