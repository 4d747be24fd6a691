//go:build interop

package seqfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/internal/hadoopcodec"
)

// The tests of this file let Hadoop's own classes read what we write. Its jars come from test/peers; SLUICE_SCALE (0.1)
// says how many files, SLUICE_SEED which.

func scale(t *testing.T, full int) int {
	t.Helper()
	s := 0.1
	if v := os.Getenv("SLUICE_SCALE"); v != "" {
		var err error
		if s, err = strconv.ParseFloat(v, 64); err != nil {
			t.Fatal(err)
		}
	}
	return max(1, int(float64(full)*s))
}

func source(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if v := os.Getenv("SLUICE_SEED"); v != "" {
		var err error
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SLUICE_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// hadoop reads the files, each a line for testdata/Read.java, and returns its answers.
func hadoop(t *testing.T, lines []string) []string {
	t.Helper()
	home := os.Getenv("PEERS_HOME")
	if home == "" {
		cache, err := os.UserHomeDir()
		if err != nil {
			t.Fatal(err)
		}
		home = filepath.Join(cache, ".cache", "sluice-peers")
	}
	if out, err := exec.Command("../../test/peers/peers", "fetch", "kafka").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// Kafka's jars have the compressors that Hadoop 3.3 expects beside its own.
	var jars []string
	for _, name := range []string{"lz4-java-*.jar", "zstd-jni-*.jar"} {
		found, err := filepath.Glob(filepath.Join(home, "kafka", "lib", name))
		if err != nil || len(found) == 0 {
			t.Fatal("there is no "+name, err)
		}
		jars = append(jars, found...)
	}
	java := exec.Command("../../test/peers/peers", "java", "hadoop", "testdata/Read.java", "testdata/hadoop/ZStandardCodec.java")
	java.Env = append(os.Environ(), "PEERS_CP="+strings.Join(jars, ":"))
	java.Stdin, java.Stderr = strings.NewReader(strings.Join(lines, "\n")+"\n"), os.Stderr
	out, err := java.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(answers) != len(lines) {
		t.Fatalf("%d answers to %d lines", len(answers), len(lines))
	}
	return answers
}

func sum(all []record) string {
	h := sha256.New()
	for _, r := range all {
		p := binary.BigEndian.AppendUint64(nil, uint64(r.key))
		h.Write(append(binary.BigEndian.AppendUint32(p, uint32(len(r.value))), r.value...))
	}
	return fmt.Sprintf("%d %x", len(all), h.Sum(nil))
}

// body is text, noise or a repeated byte.
func body(r *rand.Rand, n int) string {
	p := make([]byte, n)
	switch r.IntN(3) {
	case 0:
		for i := range p {
			p[i] = "etaoin shrdlu,.0123456789"[r.IntN(25)]
		}
	case 1:
		for i := range p {
			p[i] = byte(r.Uint32())
		}
	default:
		copy(p, bytes.Repeat([]byte{byte(r.Uint32())}, n))
	}
	return string(p)
}

func someRecords(r *rand.Rand) []record {
	all := make([]record, 1+r.IntN(80))
	most := []int{3, 60, 500, 20_000, 300_000}[r.IntN(5)]
	for i := range all {
		if most > 100_000 && i > 12 {
			return all[:i]
		}
		all[i] = record{int64(r.Uint64()), body(r, r.IntN(most))}
	}
	return all
}

// Hadoop reads every kind of file: whole, cut off anywhere and cut to its last boundary, gone on with, and appended to by
// Hadoop itself, which we read then.
func TestHadoopReads(t *testing.T) {
	r := source(t)
	dir := t.TempDir()
	var lines, want []string
	var formatsOf []Format
	appended := map[string][]record{}
	for round := range scale(t, 40) {
		for _, f := range formats() {
			f.SyncInterval = []int64{0, 2000, 100}[r.IntN(3)]
			f.BlockSize = []int{0, 300, 100_000}[r.IntN(3)]
			if round%3 == 2 {
				f.Metadata = []Pair{{"who", "sluice"}, {"", "žluť"}}
			}
			p := pool(t, f)
			name := func(kind string) string { return filepath.Join(dir, fmt.Sprintf("%d-%s-%s", round, f.name(), kind)) }
			all := someRecords(r)
			file := write(t, p, [syncSize]byte{}, all)
			add := func(kind string, file []byte, all []record, prefix string, after ...record) {
				if err := os.WriteFile(name(kind), file, 0o644); err != nil {
					t.Fatal(err)
				}
				lines = append(lines, prefix+name(kind))
				want = append(want, name(kind)+" "+sum(append(all[:len(all):len(all)], after...)))
				formatsOf = append(formatsOf, f)
			}
			add("whole", file, all, "")

			begin, err := NewReader(bytes.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			begin.Close()
			head := int(begin.Whole())
			cut := file[:head+r.IntN(len(file)-head+1)]
			tail, err := scanBytes(cut)
			if err != nil {
				t.Fatal(err)
			}
			add("cut", cut[:tail.Whole], all[:tail.Records], "")

			rest := bytes.NewBuffer(bytes.Clone(cut[:tail.Whole]))
			w, err := p.Continue(rest, tail)
			if err != nil {
				t.Fatal(err)
			}
			more := someRecords(r)
			for i, m := range more {
				if err := w.Append(m.key, []byte(m.value)); err != nil {
					t.Fatal(err)
				}
				if i%7 == 6 || i+1 == len(more) {
					if err := w.Flush(); err != nil {
						t.Fatal(err)
					}
				}
			}
			add("continued", rest.Bytes(), append(all[:tail.Records:tail.Records], more...), "")
			// Hadoop writes neither without its native libraries.
			if f.Codec != hadoopcodec.Gzip && f.Codec != hadoopcodec.Zstandard {
				three := []record{{0, "appended 0"}, {1, "appended 1"}, {2, "appended 2"}}
				base := file
				if f.Compression != Block {
					// Hadoop begins with a sync entry, and its reader takes two of them in a row for the end.
					base = file[:len(file)-4-syncSize]
				}
				add("appended", base, all, "append ", three...)
				appended[name("appended")] = append(all[:len(all):len(all)], three...)
			}
		}
	}
	for i, got := range hadoop(t, lines) {
		if got != want[i] {
			t.Errorf("%+v:\n%s, want\n%s", formatsOf[i], got, want[i])
		}
	}
	for name, want := range appended {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := readAll(t, file)
		same(t, got, want)
	}
	t.Logf("Hadoop read %d files", len(lines))
}

// Hadoop reads files of many members, of every codec.
func TestHadoopDecompresses(t *testing.T) {
	r := source(t)
	dir := t.TempDir()
	var lines, want []string
	for round := range scale(t, 200) {
		for c := hadoopcodec.Default; c <= hadoopcodec.Zstandard; c++ {
			var file, content bytes.Buffer
			w := hadoopcodec.NewPool(c, c.Defaults(), 1).NewWriter(&file)
			for range r.IntN(6) {
				for _, rec := range someRecords(r) {
					for _, s := range []string{rec.value, "\n"} {
						content.WriteString(s)
						if _, err := io.WriteString(w, s); err != nil {
							t.Fatal(err)
						}
					}
					if r.IntN(20) == 0 {
						if err := w.Flush(); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := w.Finish(); err != nil {
					t.Fatal(err)
				}
			}
			if content.Len() == 0 {
				continue
			}
			name := filepath.Join(dir, fmt.Sprintf("%d-%s%s", round, c, c.Extension()))
			if err := os.WriteFile(name, file.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, name)
			want = append(want, fmt.Sprintf("%s -1 %x", name, sha256.Sum256(content.Bytes())))
		}
	}
	for i, got := range hadoop(t, lines) {
		if got != want[i] {
			t.Errorf("%s, want\n%s", got, want[i])
		}
	}
	t.Logf("Hadoop read %d files", len(lines))
}
