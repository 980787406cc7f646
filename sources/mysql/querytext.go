package mysql

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/go-mysql-org/go-mysql/replication"
)

// Settings that a statement in the log comes with (MySQL documentation,
// "QUERY_EVENT"; MySQL source, Query_event).
const (
	settingFlags     = 0 // 4 bytes
	settingMode      = 1 // 8 bytes
	settingCatalog   = 2 // length, text, 0
	settingIncrement = 3 // 2 times 2 bytes
	settingCharset   = 4 // 3 times 2 bytes
	settingZone      = 5 // length, text
	settingCatalogNZ = 6 // length, text

	modeANSIQuotes  = 1 << 2
	modeNoBackslash = 1 << 20
)

// statement reads one of the log with the settings that it comes with.
func (st *stream) statement(event *replication.QueryEvent) statement {
	mode, collation := settingsOf(event.StatusVars)
	d := dialect{flavor: st.conn.flavor, ansiQuotes: mode&modeANSIQuotes != 0, noBackslash: mode&modeNoBackslash != 0}
	parse := func(text []byte) statement { return parseStatement(string(text), string(event.Schema), d) }
	s := parse(event.Query)
	if isASCII(event.Query) || collation == 0 {
		return s
	}
	convert, err := charsetConverter(st.catalog.charsets[collation])
	if err == nil && convert == nil {
		return s
	}
	if err != nil { // its names may be others
		return statement{kind: s.kind, unknown: "(in a character set that is not known)"}
	}
	text, err := convert(nil, event.Query)
	if err != nil {
		return statement{kind: s.kind, unknown: "(in characters that are none)"}
	}
	d.wideSpace = true
	converted := parse(text)
	if utf8.Valid(event.Query) { // the servers write some statements themselves, in UTF-8 whatever the client's character set is
		converted.effects = append(converted.effects, s.effects...)
		converted.mentions = append(converted.mentions, s.mentions...)
	}
	return converted
}

// settingsOf returns the mode and the collation of the client's texts; 0: not known.
func settingsOf(data []byte) (mode, collation uint64) {
	for len(data) > 0 {
		kind := data[0]
		var size int
		switch data = data[1:]; kind {
		case settingFlags, settingIncrement:
			size = 4
		case settingMode:
			size = 8
		case settingCharset:
			size = 6
		case settingCatalog, settingZone, settingCatalogNZ:
			if len(data) == 0 {
				return mode, collation
			}
			if size = 1 + int(data[0]); kind == settingCatalog {
				size++
			}
		default: // what comes behind is not needed
			return mode, collation
		}
		if len(data) < size {
			return mode, collation
		}
		switch kind {
		case settingMode:
			mode = binary.LittleEndian.Uint64(data)
		case settingCharset:
			collation = uint64(binary.LittleEndian.Uint16(data))
		}
		data = data[size:]
	}
	return mode, collation
}

func isASCII(text []byte) bool {
	for _, c := range text {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
