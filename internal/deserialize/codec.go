package deserialize

import (
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/twmb/avro/ocf"
	"github.com/ulikunitz/xz"
)

// A codec unpacks the blocks of a container, to at most so many bytes.
type codec interface {
	unpack(data []byte, most int64) ([]byte, error)
}

// findCodec finds a codec by the name that containers give it.
func findCodec(name string) (codec, error) {
	switch name {
	case "", "null":
		return plain{}, nil
	case "deflate":
		return library{ocf.DeflateCodec(-1)}, nil
	case "snappy":
		return library{ocf.SnappyCodec()}, nil
	case "zstandard":
		z, err := ocf.ZstdCodec(nil, nil)
		return library{z}, err
	case "bzip2":
		return stream(func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }), nil
	case "xz":
		return stream(func(r io.Reader) (io.Reader, error) { return xz.NewReader(r) }), nil
	}
	return nil, damaged("its avro.codec is %q; there are null, deflate, snappy, bzip2, xz and zstandard", name)
}

type plain struct{}

func (plain) unpack(data []byte, _ int64) ([]byte, error) { return data, nil }

type library struct{ ocf.Codec }

func (l library) unpack(data []byte, most int64) ([]byte, error) {
	bounded, ok := l.Codec.(ocf.BoundedDecompressor)
	if !ok {
		return nil, errors.New("BUG: the codec has no bound")
	}
	return bounded.DecompressBounded(data, most)
}

// stream is a codec whose blocks are whole files of their own.
type stream func(io.Reader) (io.Reader, error)

func (s stream) unpack(data []byte, most int64) ([]byte, error) {
	r, err := s(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	block, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(block)) > most {
		err = fmt.Errorf("the block has more than %d bytes", most)
	}
	return block, err
}
