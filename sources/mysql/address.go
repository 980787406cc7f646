package mysql

import (
	"encoding/hex"
	"net/netip"

	"haystream/sources"
)

// addressType is MariaDB's INET4 and INET6.
func addressType(size int) columnType {
	return columnType{
		Type:  sources.Type{Kind: sources.Inet},
		text:  convertAddress,
		forms: []logForm{fixedForm(size, logAddress)},
	}
}

// convertAddress prints the address anew: the server and netip differ in how
// they print an IPv4 address inside of an IPv6 one.
func convertAddress(dst, text []byte) ([]byte, error) {
	address, err := netip.ParseAddr(string(text))
	if err != nil {
		return dst, errValue("inet", text)
	}
	return address.AppendTo(dst), nil
}

func logAddress(dst, data []byte) ([]byte, error) {
	address, ok := netip.AddrFromSlice(data)
	if !ok {
		return dst, errValue("inet", data)
	}
	return address.AppendTo(dst), nil
}

// uuidType is MariaDB's UUID.
func uuidType() columnType {
	return columnType{
		Type:  sources.Type{Kind: sources.Keyword},
		forms: []logForm{fixedForm(16, logUUID)},
	}
}

// logUUID reads a UUID in the order of its bytes in the table: the groups of
// versions 1 to 5 are stored last to first, which keeps those of one node
// together. Such a one shows in the bits of its variant and version (MariaDB
// source, plugin/type_uuid/sql_type_uuid.h, rec_need_swap). Before MariaDB
// 10.11.5 all were stored so; those up to version 7 show it as well.
func logUUID(dst, data []byte) ([]byte, error) {
	groups := [...][2]int{{0, 4}, {4, 6}, {6, 8}, {8, 10}, {10, 16}}
	if data[6]&0x80 != 0 && data[8] >= 1 && data[8] <= 0x80 {
		groups = [...][2]int{{12, 16}, {10, 12}, {8, 10}, {6, 8}, {0, 6}}
	}
	for i, group := range groups {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, data[group[0]:group[1]])
	}
	return dst, nil
}
