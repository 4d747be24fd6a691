package avrorpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sluice-io/sluice/internal/rpc"
)

const (
	headSize   = 8    // serial and number of buffers
	javaBuffer = 8192 // what a Java peer puts into one buffer at most
)

// errFrame is wrapped by every error about bytes that cannot be a frame.
var errFrame = errors.New("what arrived is no Avro RPC frame")

// A frameReader reads the frames of a connection.
type frameReader struct {
	max  int64
	head [headSize]byte // and then the length of each buffer
}

// next reads a frame into memory of its own. io.EOF: the peer has closed, between two frames.
func (f *frameReader) next(ctx context.Context, r *rpc.Reader) (serial int32, payload []byte, err error) {
	head := f.head[:]
	if err := r.Begin(head); err != nil {
		return 0, nil, err
	}
	serial = int32(binary.BigEndian.Uint32(head))
	count := int32(binary.BigEndian.Uint32(head[4:]))
	if count < 1 || int64(count) > f.max/4 {
		return 0, nil, fmt.Errorf("%w: %s", errFrame, guess(head, count))
	}
	defer r.End()
	payload, err = f.body(ctx, r, int64(count))
	return serial, payload, err
}

// body reads count buffers into one piece of memory.
func (f *frameReader) body(ctx context.Context, r *rpc.Reader, count int64) ([]byte, error) {
	var payload []byte
	var last int64 // the size of the buffer before
	for left := count; left > 0; left-- {
		word := f.head[:4]
		if err := r.More(word); err != nil {
			return nil, err
		}
		n := int64(int32(binary.BigEndian.Uint32(word)))
		if n < 0 {
			return nil, fmt.Errorf("%w: a buffer of %d bytes", errFrame, n)
		}
		if n+int64(len(payload))+4*count > f.max {
			return nil, fmt.Errorf("%w: a frame of more than %d bytes", rpc.ErrTooLarge, f.max)
		}
		each := int64(javaBuffer) // of those to come
		if n == last {
			each = n
		}
		last = n
		all := min(int64(len(payload))+n+(left-1)*each, f.max)
		var err error
		if count > 1 {
			err = r.Ahead(ctx, n+4*(left-1), all)
		}
		if err == nil {
			payload, err = r.Body(ctx, payload, n, all)
		}
		if err != nil {
			return nil, err
		}
	}
	return payload, nil
}

// beginFrame starts the frame of a payload whose length is not known yet; endFrame completes it.
func beginFrame(dst []byte, serial int32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(serial))
	dst = binary.BigEndian.AppendUint32(dst, 1)
	return binary.BigEndian.AppendUint32(dst, 0)
}

// endFrame sets the length of the payload, which is everything after beginFrame's bytes.
func endFrame(frame []byte) {
	binary.BigEndian.PutUint32(frame[headSize:], uint32(len(frame)-headSize-4))
}

// guess says what a peer may speak that starts like this.
func guess(head []byte, count int32) string {
	if stranger := rpc.Stranger(head); stranger != "" {
		return stranger
	}
	if head[0] == firstOfZlib {
		return "the peer compresses (compression-type = deflate), and this end does not"
	}
	return fmt.Sprintf("it has %d buffers", count)
}
