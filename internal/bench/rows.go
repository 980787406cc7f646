package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// writeRows writes rows of about 260 bytes, the same ones in every run, with
// tabs between their columns. COPY takes them as they are.
func writeRows(w io.Writer, rows int) error {
	random := rand.New(rand.NewPCG(1, 2))
	words := vocabulary(random)
	sentence := func(dst []byte, size int) []byte {
		for end := len(dst) + size; len(dst) < end; {
			dst = append(append(dst, words[random.IntN(random.IntN(len(words))+1)]...), ' ') // common words first
		}
		return dst[:len(dst)-1]
	}
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	var buf []byte
	for id := 1; id <= rows; id++ {
		created := start.Add(time.Duration(random.Int64N(1e9)) * time.Millisecond / 10)
		buf = strconv.AppendInt(buf, int64(id), 10)
		buf = strconv.AppendInt(append(buf, '\t'), random.Int64N(5000), 10)
		buf = sentence(append(buf, '\t'), 30)
		buf = sentence(append(buf, '\t'), 120)
		buf = fmt.Appendf(buf, "\t%d.%02d\t%d\t%t\t", random.IntN(1000), random.IntN(100), random.IntN(100000), id%4 != 0)
		buf = created.AppendFormat(buf, "2006-01-02 15:04:05.000000+00\t")
		buf = append(created.Add(time.Hour).AppendFormat(buf, "2006-01-02 15:04:05.000000+00"), '\n')
		if len(buf) > 1<<18 || id == rows {
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	return nil
}

// vocabulary is some thousand words for a full-text index to chew on.
func vocabulary(random *rand.Rand) []string {
	syllables := strings.Fields("ka lo mi ter en sa vor pin du ral esh to qui ble mor and ix ou ny gra")
	words := make([]string, 4000)
	for i := range words {
		for range 1 + random.IntN(4) {
			words[i] += syllables[random.IntN(len(syllables))]
		}
	}
	return words
}
