package ndjson

// Config is the `sink.ndjson:` section.
type Config struct {
	// Path of the file that bulk lines are appended to; "-" is standard output,
	// /dev/null measures without keeping anything.
	Path string `yaml:"path"`
}
