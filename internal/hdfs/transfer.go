package hdfs

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"strings"
	"time"
)

const (
	transferVersion = 28
	opWrite         = 80
	opRead          = 81
	opTransfer      = 86

	chunk       = 512 // bytes of a checksum
	crc32c      = 2   // ChecksumTypeProto
	maxMessage  = 1 << 20
	maxPacket   = 16 << 20
	heartbeat   = -1 // its sequence number
	headerFixed = 25 // of a PacketHeaderProto without syncBlock
)

// The stages of a pipeline, as its DataNodes are told; a recovery's is the stage it recovers, plus one.
const (
	stageAppend    = 0
	stageStreaming = 2
	stageClose     = 4
	stageCreate    = 6
)

// The answers of DataNodes.
const (
	statusOK         = 0
	statusChecksumOK = 6
	statusRestart    = 8 // of a node that says that it will be back
)

func statusText(s uint64) string {
	names := [...]string{"SUCCESS", "ERROR", "ERROR_CHECKSUM", "ERROR_INVALID", "ERROR_EXISTS", "ERROR_ACCESS_TOKEN", "CHECKSUM_OK",
		"ERROR_UNSUPPORTED", "OOB_RESTART", "OOB_RESERVED1", "OOB_RESERVED2", "OOB_RESERVED3", "IN_PROGRESS", "ERROR_BLOCK_PINNED"}
	if s < uint64(len(names)) {
		return names[s]
	}
	return fmt.Sprintf("status %d", s)
}

// A dataConn is a connection to a DataNode. Its deadline moves with every operation, and its context ends it at once.
type dataConn struct {
	nc   net.Conn
	in   *bufio.Reader
	stop func() bool
}

// hangUp ends the connection. What matters has been acknowledged by then, or goes again.
func (d *dataConn) hangUp() {
	d.stop()
	d.nc.Close()
}

// dialNode connects for one operation on the block of the token. The connection ends with ctx.
func (c *client) dialNode(ctx context.Context, n *node, token []byte, inSize int) (*dataConn, error) {
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := c.caller.dial(dialing, "tcp", n.addr(c.pipe.byName))
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	nc, err := c.secure(dialing, raw, n, token)
	if err != nil {
		stop()
		raw.Close()
		return nil, fmt.Errorf("logging in to DataNode %s: %w", n.addr(false), err)
	}
	return &dataConn{nc: nc, in: bufio.NewReaderSize(nc, inSize), stop: stop}, nil
}

// operation sends one and returns what the DataNode says to it.
func (d *dataConn) operation(op byte, request []byte, limit time.Duration) (opAnswer, error) {
	d.nc.SetDeadline(time.Now().Add(limit))
	if _, err := d.nc.Write(delimited([]byte{0, transferVersion, op}, request)); err != nil {
		return opAnswer{}, err
	}
	data, err := readDelimited(d.in, maxMessage)
	if err != nil {
		return opAnswer{}, err
	}
	d.nc.SetDeadline(time.Time{})
	return decodeOpAnswer(data)
}

func readDelimited(in *bufio.Reader, limit uint64) ([]byte, error) {
	size, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("a message of %d bytes; at most %d are taken", size, limit)
	}
	return readSome(in, int(size))
}

// An opAnswer is a BlockOpResponseProto.
type opAnswer struct {
	status   uint64
	bad      string // address of the node of the pipeline that did not answer
	text     string
	checksum checksum
	first    int64 // offset in the block of the first packet to be read
}

type checksum struct {
	kind  uint64
	chunk int
}

func decodeOpAnswer(data []byte) (a opAnswer, err error) {
	s := scan{rest: data}
	for s.next() {
		switch s.no {
		case 1:
			a.status = s.num
		case 2:
			a.bad = string(s.data)
		case 4:
			info := scan{rest: s.data}
			for info.next() {
				switch info.no {
				case 1:
					sum := scan{rest: info.data}
					for sum.next() {
						switch sum.no {
						case 1:
							a.checksum.kind = sum.num
						case 2:
							a.checksum.chunk = int(min(sum.num, maxPacket))
						}
					}
					if sum.err != nil {
						return a, sum.err
					}
				case 2:
					a.first = int64(info.num)
				}
			}
			s.err = info.err
		case 5:
			a.text = string(s.data)
		}
	}
	return a, s.err
}

func (a opAnswer) err(n *node) error {
	if a.status == statusOK {
		return nil
	}
	text := strings.TrimSpace(a.text)
	if a.bad != "" {
		text = strings.TrimSpace("no answer from " + a.bad + " " + text)
	}
	if text == "" {
		return fmt.Errorf("DataNode %s: %s", n.addr(false), statusText(a.status))
	}
	return fmt.Errorf("DataNode %s: %s: %s", n.addr(false), statusText(a.status), text)
}

// operationHeader is a ClientOperationHeaderProto.
func (c *client) operationHeader(b block, token []byte) []byte {
	base := new(message).bytes(1, b.encode())
	if token != nil {
		base.bytes(2, token)
	}
	return *new(message).bytes(1, *base).text(2, c.name)
}

// A packet is a run of a block's bytes on its way. Its first byte may repeat some that an earlier packet had: the chunk
// that a flush left unfinished is sent again from its beginning, with its new checksum.
type packet struct {
	seq  int64
	off  int64 // in the block
	end  int64 // in the file, of its last byte
	data []byte
	last bool // ends the block; without data
	sync bool
	head []byte // lengths, header and checksums
	sent time.Time
}

// blockEnd is where in the block the packet ends.
func (p *packet) blockEnd() int64 { return p.off + int64(len(p.data)) }

// seal makes the head. After that only sync packets are not changed.
func (p *packet) seal(table *crc32.Table) {
	chunks := (len(p.data) + chunk - 1) / chunk
	header := headerFixed
	if p.sync {
		header += 2
	}
	b := make([]byte, 0, 6+header+4*chunks)
	b = binary.BigEndian.AppendUint32(b, uint32(4+4*chunks+len(p.data)))
	b = binary.BigEndian.AppendUint16(b, uint16(header))
	b = binary.LittleEndian.AppendUint64(append(b, 1<<3|wireFixed64), uint64(p.off))
	b = binary.LittleEndian.AppendUint64(append(b, 2<<3|wireFixed64), uint64(p.seq))
	b = append(b, 3<<3|wireVarint, 0)
	if p.last {
		b[len(b)-1] = 1
	}
	b = binary.LittleEndian.AppendUint32(append(b, 4<<3|wireFixed32), uint32(len(p.data)))
	if p.sync {
		b = append(b, 5<<3|wireVarint, 1)
	}
	for d := p.data; len(d) > 0; {
		n := min(chunk, len(d))
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(d[:n], table))
		d = d[n:]
	}
	p.head = b
}

// A packetHead is what arrives before the checksums and the data of a packet.
type packetHead struct {
	off, seq  int64
	last      bool
	sums, len int
}

// readPacketHead reads the lengths and the header of a packet that a DataNode sends.
func readPacketHead(in *bufio.Reader) (h packetHead, err error) {
	var sizes [6]byte
	if _, err := io.ReadFull(in, sizes[:]); err != nil {
		return h, err
	}
	payload, header := binary.BigEndian.Uint32(sizes[:]), int(binary.BigEndian.Uint16(sizes[4:]))
	raw, err := readSome(in, header)
	if err != nil {
		return h, err
	}
	var size int64
	s := scan{rest: raw}
	for s.next() {
		switch s.no {
		case 1:
			h.off = int64(s.num)
		case 2:
			h.seq = int64(s.num)
		case 3:
			h.last = s.num != 0
		case 4:
			size = int64(int32(uint32(s.num)))
		}
	}
	if s.err != nil {
		return h, s.err
	}
	sums := int64(payload) - 4 - size
	if size < 0 || size > maxPacket || sums < 0 || sums > maxPacket || h.off < 0 {
		return h, fmt.Errorf("a packet of %d bytes says that %d of them are data", payload, size)
	}
	h.sums, h.len = int(sums), int(size)
	return h, nil
}

// An ack is a PipelineAckProto: the answers of all nodes, the first one's first.
type ack struct {
	seq     int64
	replies []uint64
}

// decodeAck decodes into the replies of an earlier one.
func decodeAck(data []byte, replies []uint64) (a ack, err error) {
	a.replies = replies[:0]
	var flags [16]uint64
	f := flags[:0]
	seen := false
	s := scan{rest: data}
	for s.next() {
		switch s.no {
		case 1:
			a.seq, seen = s.sint(), true
		case 2:
			a.replies = s.numbers(a.replies)
		case 4:
			f = s.numbers(f)
		}
		if len(a.replies) > 1024 || len(f) > 1024 {
			return a, errors.New("an acknowledgement of more than 1024 nodes")
		}
	}
	if s.err == nil && !seen {
		return a, errors.New("an acknowledgement without a number")
	}
	if len(f) > 0 { // newer servers: status in the lowest four bits, congestion above
		a.replies = a.replies[:0]
		for _, v := range f {
			a.replies = append(a.replies, v&0xf)
		}
	}
	return a, s.err
}

// transferReplica has a node copy its replica of an open block to another node.
func (c *client) transferReplica(ctx context.Context, b block, token []byte, from *node, to replica) error {
	d, err := c.dialNode(ctx, from, token, 512)
	if err != nil {
		return err
	}
	defer d.hangUp()
	m := new(message).bytes(1, c.operationHeader(b, token)).bytes(2, to.info).num(3, to.storageType)
	if to.storage != "" {
		m.text(4, to.storage)
	}
	// Some seconds for each 12 MB, as the whole block so far is copied.
	a, err := d.operation(opTransfer, *m, c.pipe.timeout*2+time.Duration(b.length/(12<<20))*5*time.Second)
	if err != nil {
		return err
	}
	return a.err(from)
}
