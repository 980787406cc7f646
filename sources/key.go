package sources

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// A rawText is a text that is not UTF-8, which JSON cannot hold.
type rawText struct {
	Base64 string `json:"base64"`
}

// MarshalJSON writes the texts byte for byte.
func (k Key) MarshalJSON() ([]byte, error) {
	parts := make([]any, len(k))
	for i, text := range k {
		if parts[i] = text; !utf8.ValidString(text) {
			parts[i] = rawText{base64.StdEncoding.EncodeToString([]byte(text))}
		}
	}
	return json.Marshal(parts)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (k *Key) UnmarshalJSON(text []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil || parts == nil {
		*k = nil
		return err
	}
	*k = make(Key, len(parts))
	for i, part := range parts {
		if json.Unmarshal(part, &(*k)[i]) == nil {
			continue
		}
		var raw rawText
		if err := json.Unmarshal(part, &raw); err != nil {
			return fmt.Errorf("read key: %w", err)
		}
		bytes, err := base64.StdEncoding.DecodeString(raw.Base64)
		if err != nil {
			return fmt.Errorf("read key: %w", err)
		}
		(*k)[i] = string(bytes)
	}
	return nil
}
