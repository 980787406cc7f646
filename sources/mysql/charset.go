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
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/transform"
)

// charsetConverter returns what makes UTF-8 of text in a server's character
// set; nil where it is UTF-8 already.
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
	if multibyte := multibyteEncoding(name); multibyte != nil {
		return multibyteConverter(multibyte.NewDecoder()), nil
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

func multibyteEncoding(name string) encoding.Encoding {
	switch name {
	case "cp932", "sjis":
		return japanese.ShiftJIS
	case "eucjpms", "ujis":
		return japanese.EUCJP
	case "euckr":
		return korean.EUCKR
	case "gb2312", "gbk":
		return simplifiedchinese.GBK
	case "gb18030":
		return simplifiedchinese.GB18030
	case "big5":
		return traditionalchinese.Big5
	}
	return nil
}

// multibyteConverter uses a decoder that keeps no state between its calls.
func multibyteConverter(d *encoding.Decoder) converter {
	return func(dst, text []byte) ([]byte, error) {
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
