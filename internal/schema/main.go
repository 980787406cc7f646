// Command schema prints the JSON Schema of Haystream's config file, so that
// editors complete and check it. It is made from the Go types that the file is
// decoded into: names from their yaml tags, descriptions from their comments,
// defaults from config.New.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	text, err := generate(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
	fmt.Print(string(text))
}

// generate is the schema as indented JSON; root is the module's folder, whose
// source holds the comments.
func generate(root string) ([]byte, error) {
	docs, err := readComments(root)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(newBuilder(docs).config()); err != nil {
		return nil, fmt.Errorf("encode schema: %w", err)
	}
	return out.Bytes(), nil
}
