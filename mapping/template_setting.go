package mapping

import (
	"encoding/json"
	"errors"
	"slices"

	"gopkg.in/yaml.v3"

	"haystream/internal/conf"
)

// A Template is one outside of a document's fields: its text alone, or with its language.
type Template struct {
	// Text is the template.
	Text string `yaml:"template" json:"template"`

	// Engine is the language of the template, django or go, where its text does not tell.
	Engine string `yaml:"engine" json:"engine,omitempty"`
}

// UnmarshalYAML reads either form.
func (t *Template) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		t.Text = node.Value
		return nil
	}
	type settings Template
	return conf.Decode(node, (*settings)(t))
}

// MarshalJSON writes the shortest form.
func (t Template) MarshalJSON() ([]byte, error) {
	if t.Engine == "" {
		return json.Marshal(t.Text)
	}
	type settings Template
	return json.Marshal(settings(t))
}

// UnmarshalJSON reads either form.
func (t *Template) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		return json.Unmarshal(text, &t.Text)
	}
	type settings Template
	return json.Unmarshal(text, (*settings)(t))
}

// checkEngine looks at the language that a template is said to be of.
func checkEngine(engine string, isTemplate bool) error {
	switch {
	case engine == "":
	case !slices.Contains(Engines(), engine):
		return errors.New("must be django or go" + conf.DidYouMean(engine, Engines()))
	case !isTemplate:
		return errors.New("is the language of a template, and there is none")
	}
	return nil
}
