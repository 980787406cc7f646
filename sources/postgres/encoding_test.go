package postgres

import (
	"errors"
	"strings"
	"testing"

	"haystream/internal/servers"
	"haystream/sources"
)

// TestEncodings has codes that stand for no character in the database's encoding.
// They make the server end chunk and stream once; then what can be read is, and the
// rest is never taken for UTF-8.
func TestEncodings(t *testing.T) {
	versions := servers.PostgresVersions()
	server := servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: versions[len(versions)-1]})
	for _, test := range []struct {
		encoding string
		name     string   // of the table and a column
		codes    []string // texts in hex, in their order
		want     []string // what is made of them
	}{
		{"WIN1252", "nötes", []string{"6181", "618d", "61e9"}, []string{"a\x81", "a\x8d", "aé"}},
		{"WIN1253", "Νότα", []string{"61aa", "61d1", "61d2aa", "61d2aaff", "61d2ffaa"}, []string{"a\xaa", "aΡ", "a\xd2\xfe\xaa", "a\xd2\xfe\xaa\xff", "a\xd2\xff\xaa"}},
		{"EUC_KR", "노트", []string{"b0a1", "c9a1", "c9a1b0a1", "c9c2ada1", "c9fe"}, []string{"가", "\xc9\xff\xa1", "\xc9\xff\xa1가", "\xc9\xc2\xff\xad\xa1", "\xc9\xfe"}},
		{"EUC_CN", "笔记", []string{"aaa1", "b1ca", "d7fe"}, []string{"\xaa\xa1", "笔", "\xd7\xfe"}},
		{"EUC_JP", "メモ", []string{"61", "8eb1", "8fa1a1b0a1", "8fb0a1", "a9a1", "b0a1"}, []string{"a", "ｱ", "\x8f\xa1\xa1亜", "丂", "\xa9\xa1", "亜"}},
		{"EUC_JIS_2004", "メモ", []string{"8fa1a1", "8fa2a1a4f7", "a4ab", "a4f7"}, []string{"𠂉", "\x8f\xa2\xa1か゚", "か", "か゚"}},
		{"EUC_TW", "筆記", []string{"8ea2a1a1", "8ea7a1a1c4a1", "c4a1", "fefe"}, []string{"乂", "\x8e\xa7\xa1\xa1一", "一", "\xfe\xfe"}},
	} {
		t.Run(test.encoding, func(t *testing.T) {
			name := strings.ToLower(test.encoding)
			r := newRig(t, server, name, "ENCODING '"+test.encoding+"' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
			r.exec(`CREATE TABLE "` + test.name + `" (id text PRIMARY KEY, "` + test.name + `" text)`)
			r.prepare("public." + test.name)
			f := r.follow(r.start)
			var inserts, rows []string
			for i, code := range test.codes {
				r.exec(`INSERT INTO "` + test.name + `" SELECT code, code FROM convert_from('\x` + code + `', getdatabaseencoding()) code`)
				row := "(" + test.want[i] + "," + test.want[i] + ")"
				inserts, rows = append(inserts, "insert "+test.name+" "+row), append(rows, row)
			}
			if err := f.ends(); err == nil || errors.Is(err, sources.ErrConfig) {
				r.Fatalf("the stream ends with %v", err)
			}
			r.must(r.again(r.start))
			r.follow(r.start).expect(inserts...)
			if got, want := r.oneByOne(), strings.Join(rows, " "); got != want {
				r.Errorf("read are %q, want %q", got, want)
			}
		})
	}
}
