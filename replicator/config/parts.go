package config

// Parts are what of the pipeline has one source, and so an engine and a checkpoint of its own,
// as configurations: the definitions over tables, whose source is the database, and those over events, whose
// source is the event queue. There is one of either at most, and the database comes first. Where its log has
// messages for events, it is there without definitions, too.
func (c *Config) Parts() (parts []*Config) {
	for _, ofEvents := range []bool{false, true} {
		if p := c.Part(ofEvents); p != nil {
			parts = append(parts, p)
		}
	}
	if len(parts) == 2 { // an event takes less memory than rows that are joined
		limit := c.Limits.MaxMemory
		parts[0].Limits.MaxMemory, parts[1].Limits.MaxMemory = limit-limit/4, limit/4
	}
	return parts
}

// Part is one of the Parts; nil where nothing belongs to it.
func (c *Config) Part(ofEvents bool) *Config {
	set := c.Set().Part(ofEvents)
	messages := !ofEvents && hasMessages(c.Source.URL) && len(c.Set().EventNames()) > 0
	if len(set.Indexes) == 0 && !messages {
		return nil
	}
	p := *c
	p.Indexes, p.Tables, p.Widgets = set.Indexes, set.Tables, c.Widgets.Of(set.Indexes)
	p.ofEvents, p.Source.Messages = ofEvents, messages
	return &p
}

// Checkpoint is the name of the part's checkpoint. No pipeline's name has a colon, so that it is
// no other's.
func (c *Config) Checkpoint() string {
	if c.ofEvents {
		return c.Name + ":events"
	}
	return c.Name
}

// Turn is the name of what a host writes beside the checkpoint that asks for its turn to deliver events.
func (c *Config) Turn() string { return c.Checkpoint() + ":turn" }
