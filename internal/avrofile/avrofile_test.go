package avrofile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/twmb/avro/ocf"
)

var sync = Sync([]byte("0123456789abcdef"))

const long = `"long"`

// container has two blocks of two numbers each.
func container() []byte {
	b := AppendHead(nil, sync, Schema, long, Codec, "null", "file", "/a")
	b = AppendBlock(b, 2, []byte{2, 4}, sync)
	return AppendBlock(b, 2, []byte{6, 8}, sync)
}

// The library reads what is written here.
func TestWrite(t *testing.T) {
	r, err := ocf.NewReader(bytes.NewReader(container()))
	if err != nil {
		t.Fatal(err)
	}
	for want := int64(1); want <= 4; want++ {
		var got int64
		if err := r.Decode(&got); err != nil || got != want {
			t.Errorf("%d instead of %d, %v", got, want, err)
		}
	}
	var more int64
	if err := r.Decode(&more); !errors.Is(err, io.EOF) {
		t.Errorf("behind the end: %v", err)
	}
}

func TestRead(t *testing.T) {
	in := bytes.NewReader(container())
	h, err := ReadHead(in, 100)
	if err != nil || h.Told[Schema] != long || h.Told["file"] != "/a" || h.Sync != sync {
		t.Fatalf("%+v, %v", h, err)
	}
	at := h.Size
	for _, want := range []string{"\x02\x04", "\x06\x08"} {
		b, err := ReadBlock(in, at, sync, 100)
		if err != nil || b.Records != 2 || string(b.Data) != want {
			t.Errorf("%+v, %v", b, err)
		}
		at = b.End
	}
	if _, err := ReadBlock(in, at, sync, 100); !errors.Is(err, io.EOF) || at != in.Size() {
		t.Errorf("at the end, %d: %v", at, err)
	}
}

func TestDamage(t *testing.T) {
	whole := container()
	for end := range whole {
		in := bytes.NewReader(whole[:end])
		h, err := ReadHead(in, 100)
		for err == nil {
			var b Block
			b, err = ReadBlock(in, h.Size, h.Sync, 100)
			h.Size = b.End
		}
		if first := len(whole) - 2*(2+2+SyncSize); end == first || end == first+2+2+SyncSize {
			if !errors.Is(err, io.EOF) || strings.Contains(err.Error(), "damaged") {
				t.Errorf("%d bytes: %v", end, err)
			}
		} else if !strings.Contains(err.Error(), "the container is damaged") {
			t.Errorf("%d bytes: %v", end, err)
		}
	}
	for name, text := range map[string][]byte{
		"it begins with 01020304":  {1, 2, 3, 4},
		"where 100 are the most":   AppendHead(nil, sync, Schema, strings.Repeat("x", 101)),
		"its head is too long":     AppendHead(nil, sync, Schema, strings.Repeat("x", 90), Codec, strings.Repeat("x", 90)),
		"has more than 64 bits":    append([]byte(magic), bytes.Repeat([]byte{0xff}, 11)...),
		"a part at byte 16 has -1": append(binary.AppendVarint([]byte(magic), 1), append(binary.AppendVarint(nil, 9), "avrocodec\x01"...)...),
	} {
		if _, err := ReadHead(bytes.NewReader(text), 100); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string][]byte{
		"has -1 records":           AppendBlock(nil, -1, nil, sync),
		"there is no sync marker":  AppendBlock(nil, 1, nil, Sync{}),
		"has 101 bytes, where 100": AppendBlock(nil, 1, make([]byte, 101), sync),
		"it ends in the middle":    AppendLengths(nil, 1, 90),
	} {
		if _, err := ReadBlock(bytes.NewReader(text), 0, sync, 100); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever comes is read or refused, and what is read is written again.
func FuzzRead(f *testing.F) {
	f.Add(container())
	f.Add(AppendHead(nil, sync))
	f.Fuzz(func(t *testing.T, text []byte) {
		in := bytes.NewReader(text)
		h, err := ReadHead(in, 1<<16)
		if err != nil {
			return
		}
		for at := h.Size; ; {
			b, err := ReadBlock(in, at, h.Sync, 1<<16)
			if err != nil {
				return
			}
			if b.End <= at || b.End > int64(len(text)) {
				t.Fatalf("the block at %d of %d ends at %d", at, len(text), b.End)
			}
			again, err := ReadBlock(bytes.NewReader(AppendBlock(nil, int(b.Records), b.Data, h.Sync)), 0, h.Sync, 1<<16)
			if err != nil || again.Records != b.Records || !bytes.Equal(again.Data, b.Data) {
				t.Fatalf("%+v has become %+v, %v", b, again, err)
			}
			at = b.End
		}
	})
}
