package mysql

import (
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/transform"
)

// charsetConverter returns what makes UTF-8 of text in a server's character
// set; nil where it is UTF-8 already. A character that the servers keep in
// Unicode's private areas, because it is one of a user's own, becomes U+FFFD.
// Sets where other characters would be lost are refused.
func charsetConverter(name string) (converter, error) {
	switch name {
	case "utf8mb4", "utf8mb3", "utf8":
		return nil, nil
	case "ucs2", "utf16":
		return func(dst, text []byte) ([]byte, error) { return appendUTF16(dst, text, 0), nil }, nil
	case "utf16le":
		return func(dst, text []byte) ([]byte, error) { return appendUTF16(dst, text, 1), nil }, nil
	case "utf32":
		return appendUTF32, nil
	}
	if upper := upperHalf(name); upper != "" {
		return singleByteConverter(upper), nil
	}
	if multibyte, replaced := multibyteEncoding(name); multibyte != nil {
		return multibyteConverter(multibyte.NewDecoder(), replaced), nil
	}
	return nil, fmt.Errorf("text in the character set %s cannot be converted to UTF-8; alter the column to utf8mb4", name)
}

// singleByteConverter converts a character set whose lower half is ASCII.
func singleByteConverter(upper string) converter {
	var runes [128]rune
	i := 0
	for _, r := range upper {
		runes[i&127] = r
		i++
	}
	return func(dst, text []byte) ([]byte, error) {
		for _, c := range text {
			if c < utf8.RuneSelf {
				dst = append(dst, c)
				continue
			}
			dst = utf8.AppendRune(dst, runes[c-utf8.RuneSelf])
		}
		return dst, nil
	}
}

// multibyteEncoding returns a set's encoding, and in pairs the characters that
// it gives and those that the servers have instead.
func multibyteEncoding(name string) (e encoding.Encoding, replaced string) {
	const japan = "＼\\～〜∥‖－−￠¢￡£￢¬"
	switch name {
	case "cp932":
		return japanese.ShiftJIS, ""
	case "sjis":
		return japanese.ShiftJIS, japan
	case "ujis":
		return japanese.EUCJP, japan
	case "euckr":
		return korean.EUCKR, ""
	case "gb2312":
		return simplifiedchinese.GBK, "·・—―"
	case "gbk":
		return simplifiedchinese.GBK, ""
	case "gb18030":
		return simplifiedchinese.GB18030, ""
	}
	return nil, ""
}

// multibyteConverter uses a decoder that keeps no state between its calls.
func multibyteConverter(d *encoding.Decoder, replaced string) converter {
	pairs := []rune(replaced)
	return func(dst, text []byte) ([]byte, error) {
		start := len(dst)
		dst, err := appendDecoded(dst, text, d)
		if err != nil || len(pairs) == 0 {
			return dst, err
		}
		end := len(dst)
		for at := start; at < end; {
			r, size := utf8.DecodeRune(dst[at:end])
			at += size
			dst = utf8.AppendRune(dst, replace(r, pairs))
		}
		return dst[:start+copy(dst[start:], dst[end:])], nil
	}
}

func replace(r rune, pairs []rune) rune {
	for i := 0; i+1 < len(pairs); i += 2 {
		if r == pairs[i] {
			return pairs[i+1]
		}
	}
	return r
}

func appendDecoded(dst, text []byte, d *encoding.Decoder) ([]byte, error) {
	for {
		written, read, err := d.Transform(dst[len(dst):cap(dst)], text, true)
		dst, text = dst[:len(dst)+written], text[read:]
		if err == nil {
			return dst, nil
		}
		if !errors.Is(err, transform.ErrShortDst) {
			return dst, fmt.Errorf("convert text: %w", err)
		}
		dst = append(dst, make([]byte, 3*len(text)+utf8.UTFMax)...)[:len(dst)]
	}
}

// appendUTF16 converts UTF-16; high is where the more significant byte of two is.
func appendUTF16(dst, text []byte, high int) []byte {
	for len(text) >= 2 {
		r := rune(text[high])<<8 | rune(text[1-high])
		text = text[2:]
		if utf16.IsSurrogate(r) && len(text) >= 2 {
			if pair := utf16.DecodeRune(r, rune(text[high])<<8|rune(text[1-high])); pair != utf8.RuneError {
				r, text = pair, text[2:]
			}
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

func appendUTF32(dst, text []byte) ([]byte, error) {
	for ; len(text) >= 4; text = text[4:] {
		dst = utf8.AppendRune(dst, rune(bigEndian(text[:4])))
	}
	return dst, nil
}
