package postgres

// sessionSettings pins every setting that the text form of a value depends on,
// for query and replication connections alike, so that a snapshot row and a
// streamed row are printed in the same bytes. They are sent as startup
// parameters (PostgreSQL documentation, "Client Connection Defaults").
func sessionSettings() map[string]string {
	return map[string]string{
		"client_encoding":             "UTF8",
		"TimeZone":                    "UTC",
		"DateStyle":                   "ISO, YMD",
		"IntervalStyle":               "iso_8601",
		"bytea_output":                "hex",
		"extra_float_digits":          "3",
		"quote_all_identifiers":       "off",
		"standard_conforming_strings": "on",
		// regclass and its kin print the schema only where it is not on the path.
		"search_path": "",
		// A row security policy must fail a snapshot query, not hide rows from it.
		"row_security": "off",
		// What a role or database is given as defaults for people must not stop the
		// daemon: it writes (slot, publication, log messages) and bounds its own waits.
		"default_transaction_read_only":       "off",
		"default_transaction_isolation":       "read committed",
		"default_transaction_deferrable":      "off",
		"statement_timeout":                   "0",
		"lock_timeout":                        "0",
		"idle_in_transaction_session_timeout": "0",
		// Compiling a catalog query takes longer than running it.
		"jit": "off",
	}
}
