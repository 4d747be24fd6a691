package hdfs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The files of testdata are what a NameNode and DataNodes of Hadoop 3.3.6 sent: namenode while a file was made, written,
// appended to, listed and read; write over the pipeline of its second block; read when that block was read. The
// interop test TestRecord makes them.

func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// answers cuts what a server sent into its answers.
func answers(b []byte) (all [][]byte, err error) {
	for in := bufio.NewReader(bytes.NewReader(b)); ; {
		frame, err := readFrame(in)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, frame)
	}
}

func TestGoldenNameNode(t *testing.T) {
	frames, err := answers(golden(t, "namenode"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, frame := range frames {
		r, rest, err := decodeResponse(frame)
		if err != nil {
			t.Fatal(err)
		}
		if r.status != 0 {
			got = append(got, fmt.Sprint((&RemoteError{Method: "append", Class: r.class, Message: r.text}).Error()))
			continue
		}
		data, rest, err := cut(rest)
		if err != nil || len(rest) > 0 {
			t.Fatal(err, len(rest))
		}
		field, num, err := only(data, 1)
		if err != nil {
			t.Fatal(err)
		}
		if field == nil {
			got = append(got, fmt.Sprint(num))
			continue
		}
		switch len(got) {
		case 0, 6: // create, getFileInfo
			f, err := decodeStatus(field)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("file %d bytes of %s:%s %v, %d × %d, dir %v", f.Size, f.Owner, f.Group, f.Permission, f.Replication, f.BlockSize, f.Dir))
		case 1, 2: // addBlock
			l, err := decodeLocated(field)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, place(l))
		case 4: // getBlockLocations
			l, err := decodeLocations(field)
			if err != nil {
				t.Fatal(err)
			}
			line := fmt.Sprintf("%d bytes, open %v:", l.length, l.open)
			for _, b := range l.blocks {
				line += " " + place(b)
			}
			got = append(got, line)
		default: // getListing
			f, _, err := only(field, 1)
			if err != nil {
				t.Fatal(err)
			}
			s, err := decodeStatus(f)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("lists %s of %d bytes", s.Name, s.Size))
		}
	}
	want := strings.TrimSpace(string(golden(t, "namenode.txt")))
	if g := strings.Join(got, "\n"); g != want {
		t.Errorf("decoded:\n%s\nwant:\n%s", g, want)
	}
}

func place(l located) string {
	line := fmt.Sprintf("block %d of %s in generation %d at %d, %d bytes, on", l.id, l.pool, l.generation, l.offset, l.length)
	for _, r := range l.replicas {
		line += fmt.Sprintf(" %s %s %d", r.addr(true), r.storage, r.storageType)
	}
	return line
}

func TestGoldenWrite(t *testing.T) {
	in := bufio.NewReader(bytes.NewReader(golden(t, "write")))
	data, err := readDelimited(in, maxMessage)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := decodeOpAnswer(data); err != nil || a.status != statusOK || a.bad != "" {
		t.Error(a, err)
	}
	var got []string
	for {
		data, err := readDelimited(in, maxMessage)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		a, err := decodeAck(data, nil)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(a.seq, a.replies))
	}
	if g := strings.Join(got, " "); g != "3 [0 0] 4 [0 0] 5 [0 0]" {
		t.Errorf("acknowledged: %s", g)
	}
}

func TestGoldenRead(t *testing.T) {
	in := bufio.NewReader(bytes.NewReader(golden(t, "read")))
	data, err := readDelimited(in, maxMessage)
	if err != nil {
		t.Fatal(err)
	}
	a, err := decodeOpAnswer(data)
	if err != nil || a.status != statusOK || a.checksum != (checksum{crc32c, chunk}) || a.first != 0 {
		t.Error(a, err)
	}
	h, err := readPacketHead(in)
	if err != nil {
		t.Fatal(err)
	}
	body, err := readSome(in, h.sums+h.len)
	if err != nil || h.len != 904 || h.sums != 8 || h.last {
		t.Fatal(h, err)
	}
	r := reader{sums: a.checksum}
	if err := r.verify(body[:h.sums], body[h.sums:]); err != nil || !bytes.Equal(body[h.sums:], text(5000)[4096:]) {
		t.Error(err)
	}
	// The packet that we would have sent has the same checksums.
	k := packet{data: body[h.sums:]}
	if k.seal(castagnoli()); !bytes.HasSuffix(k.head, body[:h.sums]) {
		t.Error("other checksums")
	}
	if h, err = readPacketHead(in); err != nil || !h.last || h.len != 0 {
		t.Error(h, err)
	}
}

func FuzzAnswer(f *testing.F) {
	frames, err := answers(golden(f, "namenode"))
	if err != nil {
		f.Fatal(err)
	}
	for _, frame := range frames {
		f.Add(frame)
	}
	auth := new(message).text(1, "KERBEROS").text(2, "GSSAPI").text(3, "nn").text(4, "host")
	f.Add(delimited(delimited(nil, *new(message).num(1, 0xffffffdf).num(2, 0)), *new(message).num(2, saslNegotiate).bytes(4, *auth)))
	f.Fuzz(func(t *testing.T, frame []byte) {
		_, rest, err := decodeResponse(frame)
		if err != nil {
			return
		}
		data, _, err := cut(rest)
		if err != nil {
			return
		}
		decodeSASL(data)
		for _, b := range [][]byte{data, func() []byte { b, _, _ := only(data, 1); return b }()} {
			if s, err := decodeStatus(b); err == nil && (s.Size < 0 || s.BlockSize < 0) {
				t.Error("a negative size")
			}
			if l, err := decodeLocations(b); err == nil && len(l.blocks) > len(b) {
				t.Error("blocks out of nothing")
			}
			if l, err := decodeLocated(b); err == nil && l.length < 0 {
				t.Error("a negative length")
			}
		}
	})
}

func FuzzFrame(f *testing.F) {
	f.Add(golden(f, "namenode"))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{3, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		for in := bufio.NewReader(bytes.NewReader(b)); ; {
			frame, err := readFrame(in)
			if err != nil {
				return
			}
			if cap(frame) > 2*len(b)+64<<10 {
				t.Errorf("%d bytes are held for %d", cap(frame), len(b))
			}
		}
	})
}

func FuzzAck(f *testing.F) {
	in := bufio.NewReader(bytes.NewReader(golden(f, "write")))
	for {
		data, err := readDelimited(in, maxMessage)
		if err != nil {
			break
		}
		f.Add(data)
	}
	f.Add(fakeAck(-2, 1, 0, 8))
	f.Fuzz(func(t *testing.T, data []byte) {
		decodeOpAnswer(data)
		if a, err := decodeAck(data, nil); err == nil && len(a.replies) > 1024+len(data) {
			t.Errorf("%d replies", len(a.replies))
		}
	})
}

func FuzzPacket(f *testing.F) {
	data := golden(f, "read")
	in := bufio.NewReader(bytes.NewReader(data))
	if _, err := readDelimited(in, maxMessage); err != nil {
		f.Fatal(err)
	}
	rest, err := io.ReadAll(in)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(rest)
	f.Fuzz(func(t *testing.T, b []byte) {
		for in := bufio.NewReader(bytes.NewReader(b)); ; {
			h, err := readPacketHead(in)
			if err != nil {
				return
			}
			if h.len < 0 || h.sums < 0 || h.len > maxPacket || h.sums > maxPacket {
				t.Fatalf("%+v", h)
			}
			body, err := readSome(in, h.sums+h.len)
			if err != nil {
				return
			}
			r := reader{sums: checksum{crc32c, chunk}}
			r.verify(body[:h.sums], body[h.sums:])
		}
	})
}

func TestRemoteError(t *testing.T) {
	err := error(&RemoteError{Method: "create", Class: "org.apache.hadoop.fs.FileAlreadyExistsException", Message: "/x is there\n\tat a.b.C"})
	if !errors.Is(err, os.ErrExist) || errors.Is(err, os.ErrNotExist) || err.Error() != "create: FileAlreadyExistsException: /x is there" {
		t.Error(err)
	}
}
