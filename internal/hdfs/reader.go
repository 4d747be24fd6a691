package hdfs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"
)

// Open reads one block after the other, each from the first node that has it whole.
func (c *client) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	ctx, end := context.WithCancel(ctx)
	r := &reader{c: c, ctx: ctx, end: end, path: name, pos: offset}
	if err := r.locate(); err != nil {
		end()
		return nil, wrap("opening", name, err)
	}
	return r, nil
}

type reader struct {
	c      *client
	ctx    context.Context
	end    context.CancelFunc
	path   string
	pos    int64
	blocks []located
	length int64 // of the file

	conn *dataConn
	sums checksum
	at   int64  // in the block, of the next packet
	left []byte // of the packet that has arrived
	skip int64  // bytes before pos, as the node begins with a chunk
	stop int64  // in the block, where reading ends
	node int    // of the block that is tried
	err  error
}

func (r *reader) locate() error {
	data, err := r.c.nn.call(r.ctx, "getBlockLocations", new(message).text(1, r.path).num(2, 0).num(3, 1<<62))
	if err != nil {
		return err
	}
	field, _, err := only(data, 1)
	if err != nil {
		return err
	}
	l, err := decodeLocations(field)
	if err != nil {
		return err
	}
	if l.encrypted || l.striped {
		return errors.New("files in encryption zones and erasure-coded files cannot be read")
	}
	r.blocks, r.length = l.blocks, l.length
	if l.last != nil && !l.complete && len(l.last.replicas) > 0 {
		n, err := r.c.visibleLength(r.ctx, l.last)
		if err != nil {
			return fmt.Errorf("asking for the length of the block that is written to: %w", err)
		}
		if n > 0 {
			last := *l.last
			last.length = n
			if k := len(r.blocks) - 1; k >= 0 && r.blocks[k].id == last.id {
				r.blocks = r.blocks[:k]
			}
			r.blocks = append(r.blocks, last)
			r.length = last.offset + n
		}
	}
	return nil
}

// visibleLength asks the nodes of an open block how much of it all of them have.
func (c *client) visibleLength(ctx context.Context, l *located) (int64, error) {
	var last error
	for i := range l.replicas {
		n := l.replicas[i].node
		n.data = n.ipc
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		k, err := c.caller.connect(ctx, n.addr(c.pipe.byName), replicaProto, c.o.Conf.Get("dfs.datanode.kerberos.principal", ""))
		var data []byte
		if err == nil {
			data, err = k.call(ctx, c.caller.next(), 0, "getReplicaVisibleLength", *new(message).bytes(1, l.encode()))
			k.close()
		}
		cancel()
		if err == nil {
			_, length, err := only(data, 1)
			return int64(length), err
		}
		last = err
	}
	return 0, last
}

func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.err == nil && len(r.left) == 0 {
		if r.pos >= r.length {
			return 0, io.EOF
		}
		r.fill()
	}
	if len(r.left) == 0 {
		return 0, wrap("reading", r.path, r.err)
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	r.pos += int64(n)
	return n, nil
}

func (r *reader) Close() error {
	r.end()
	r.hangUp()
	return nil
}

func (r *reader) hangUp() {
	if r.conn != nil {
		r.conn.hangUp()
		r.conn = nil
	}
}

// fill gets the next packet; a node that fails is left for the next.
func (r *reader) fill() {
	var l *located
	for i := range r.blocks {
		if b := &r.blocks[i]; r.pos >= b.offset && r.pos < b.offset+b.length {
			l = b
		}
	}
	if l == nil {
		r.err = fmt.Errorf("no block has byte %d", r.pos)
		return
	}
	err := errors.New("the NameNode knows of none")
	if r.node < len(l.replicas) {
		if err = r.packet(l); err == nil {
			return
		}
	}
	r.hangUp()
	if r.ctx.Err() != nil {
		r.err = context.Cause(r.ctx)
		return
	}
	if r.node++; r.node >= len(l.replicas) {
		r.err = fmt.Errorf("block %d from none of %d DataNodes: %w", l.id, len(l.replicas), err)
	}
}

func (r *reader) packet(l *located) error {
	if r.conn == nil {
		if err := r.ask(l); err != nil {
			return err
		}
	}
	r.conn.nc.SetReadDeadline(time.Now().Add(r.c.pipe.timeout))
	h, err := readPacketHead(r.conn.in)
	if err != nil {
		return err
	}
	body, err := readSome(r.conn.in, h.sums+h.len)
	if err != nil {
		return err
	}
	sums, data := body[:h.sums], body[h.sums:]
	if h.last || h.len == 0 {
		return errors.New("the DataNode ends too early")
	}
	if h.off != r.at {
		return fmt.Errorf("a packet of offset %d at %d", h.off, r.at)
	}
	if err := r.verify(sums, data); err != nil {
		return err
	}
	r.at += int64(len(data))
	data = data[:max(0, min(int64(len(data)), r.stop-h.off))]
	n := min(r.skip, int64(len(data)))
	r.left, r.skip = data[n:], r.skip-n
	if r.at >= r.stop { // the node sends an empty packet, and hears that all was well
		r.conn.nc.SetDeadline(time.Now().Add(r.c.pipe.timeout))
		if _, err := readPacketHead(r.conn.in); err == nil {
			_, _ = r.conn.nc.Write(delimited(nil, *new(message).num(1, statusChecksumOK))) // a courtesy: all bytes are here
		}
		r.hangUp()
		r.node = 0
	}
	return nil
}

// ask begins to read a block where the file is to be read on.
func (r *reader) ask(l *located) error {
	n := &l.replicas[r.node].node
	d, err := r.c.dialNode(r.ctx, n, l.token, 64<<10)
	if err != nil {
		return err
	}
	off := r.pos - l.offset
	m := new(message).bytes(1, r.c.operationHeader(l.block, l.token)).num(2, uint64(off)).num(3, uint64(l.length-off)).flag(4, true)
	a, err := d.operation(opRead, *m, r.c.pipe.timeout)
	if err == nil {
		err = a.err(n)
	}
	if err == nil && (a.checksum.kind > crc32c || a.checksum.kind > 0 && a.checksum.chunk <= 0 || a.first < 0 || a.first > off) {
		err = fmt.Errorf("DataNode %s begins at %d instead of %d, with checksums of kind %d over %d bytes", n.addr(false), a.first, off, a.checksum.kind, a.checksum.chunk)
	}
	if err != nil {
		d.hangUp()
		return err
	}
	r.conn, r.sums, r.at, r.skip, r.stop = d, a.checksum, a.first, off-a.first, l.length
	return nil
}

func (r *reader) verify(sums, data []byte) error {
	if r.sums.kind == 0 {
		return nil
	}
	table := crc32.IEEETable
	if r.sums.kind == crc32c {
		table = castagnoli()
	}
	at := r.at
	for len(data) > 0 {
		n := min(r.sums.chunk, len(data))
		if len(sums) < 4 {
			return errors.New("a packet with too few checksums")
		}
		if crc32.Checksum(data[:n], table) != binary.BigEndian.Uint32(sums) {
			return fmt.Errorf("the checksum of the %d bytes at %d of the block is wrong", n, at)
		}
		data, sums, at = data[n:], sums[4:], at+int64(n)
	}
	return nil
}
