package mysql

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// TestCharsets has real servers convert every character of every character
// set, and wants the same. Where a server has no character, it does not matter
// which one there is; the same goes for those in the private areas of Unicode.
func TestCharsets(t *testing.T) {
	single := strings.Fields("ascii armscii8 cp1250 cp1251 cp1256 cp1257 cp850 cp852 cp866 dec8 geostd8 greek hebrew hp8 keybcs2 koi8r koi8u latin1 latin2 latin5 latin7 macce macroman tis620")
	double := strings.Fields("cp932 sjis ujis euckr gb2312 gbk gb18030")
	eachServer(t, func(b *box) {
		for _, name := range append(single, double...) {
			if name == "gb18030" && b.isMaria() {
				continue
			}
			b.Run(name, func(t *testing.T) {
				convert, err := charsetConverter(name)
				if err != nil {
					t.Fatal(err)
				}
				differ := 0
				// A tilde that ujis has twice, and a letter that GB 18030 has moved.
				known := map[string]bool{"ujis 8fa2b7": true, "gb18030 a8bc": true}
				eachCode(t, b.admin, name, func(code, want []byte) {
					got, err := convert(nil, code)
					if err != nil {
						t.Fatal(err)
					}
					if r, _ := utf8.DecodeRune(want); unicode.Is(unicode.Co, r) || known[fmt.Sprintf("%s %x", name, code)] {
						return
					}
					if !bytes.Equal(got, want) {
						if differ++; differ <= 20 {
							t.Errorf("%x: got %+q, the server says %+q", code, got, want)
						}
					}
				})
				if differ > 0 {
					t.Errorf("%d characters differ", differ)
				}
			})
		}
	})
}

// eachCode calls each with every code of up to four bytes that the server knows, and its UTF-8.
func eachCode(t *testing.T, conn *conn, charset string, each func(code, want []byte)) {
	t.Helper()
	codes := candidates(charset)
	const most = 500
	for len(codes) > 0 {
		batch := codes[:min(most, len(codes))]
		codes = codes[len(batch):]
		var query strings.Builder
		for i, code := range batch {
			if i > 0 {
				query.WriteString(" UNION ALL ")
			}
			fmt.Fprintf(&query, "SELECT X'%x', CONVERT(CONVERT(X'%[1]x' USING %s) USING utf8mb4)", code, charset)
		}
		err := conn.query(t.Context(), query.String(), func(row [][]byte) error {
			if utf8.RuneCount(row[1]) == 1 && (row[1][0] != '?' || row[0][0] == '?') {
				each(row[0], row[1])
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// candidates are codes of which the character set may have some.
func candidates(charset string) (codes [][]byte) {
	for a := range 256 {
		codes = append(codes, []byte{byte(a)})
	}
	if upperHalf(charset) != "" {
		return codes
	}
	for a := 0x81; a < 0xff; a++ {
		if (charset == "cp932" || charset == "sjis") && a >= 0xa1 && a <= 0xdf {
			continue // characters of one byte
		}
		for b := 0x30; b < 0xff; b++ {
			codes = append(codes, []byte{byte(a), byte(b)})
		}
	}
	switch charset {
	case "ujis":
		for a := 0xa1; a < 0xff; a++ {
			for b := 0xa1; b < 0xff; b++ {
				codes = append(codes, []byte{0x8f, byte(a), byte(b)})
			}
		}
	case "gb18030":
		for _, prefix := range []string{"8130", "8131", "8135", "8136", "8137", "8231", "8430", "8431", "9030", "9439", "e332"} {
			head, _ := hex.DecodeString(prefix)
			for a := 0x81; a < 0xff; a++ {
				for b := 0x30; b < 0x3a; b++ {
					codes = append(codes, []byte{head[0], head[1], byte(a), byte(b)})
				}
			}
		}
	}
	return codes
}

func TestCharsetRefused(t *testing.T) {
	for _, name := range []string{"big5", "eucjpms", "swe7", "binary", ""} {
		_, err := resolveType(mysqlServer, catalogColumn{dataType: "text", fullType: "text", charset: name})
		if err == nil || !strings.Contains(err.Error(), "utf8mb4") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
