package hdfs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A fake is a cluster of two NameNodes and three DataNodes with one file, for the faults that a real one does not make
// when it is asked to. It speaks over net.Pipe, so that its time is a bubble's. Its DataNodes do not pass on: the first
// one of a pipeline answers for all.
type fake struct {
	t *testing.T

	mu         sync.Mutex
	active     int               // NameNode
	down       map[string]bool   // addresses that refuse
	data       map[uint64][]byte // of the blocks
	generation map[uint64]uint64
	blocks     []uint64 // of the file
	shut       map[uint64]bool
	complete   bool
	nextGen    uint64
	calls      []string
	done       map[string]answer // by client, call
	pipelines  []string          // the nodes of each that was set up, with its stage

	refuse  func(method string, try int) error      // instead of an answer
	lose    func(method string, try int) bool       // the call is done, its answer lost
	set     func(n int, names []string) []byte      // an answer to the n-th set-up; nil: all is well
	acks    func(pipeline int, k fakePacket) []byte // an acknowledgement; nil: of success; empty: none, and the end
	reading func(node string, block []byte) []byte  // what a node sends of a block
	spare   []int                                   // nodes that a pipeline may get besides its own
	copied  []string                                // the nodes that had to copy a block
	silent  chan struct{}                           // while open, an acknowledgement "silent" waits for it
}

type fakePacket struct {
	off, seq   int64
	last, sync bool
	data       []byte
	nodes      int
}

var errRefused = errors.New("connection refused")

func newFake(t *testing.T) *fake {
	return &fake{t: t, down: map[string]bool{}, data: map[uint64][]byte{}, generation: map[uint64]uint64{}, shut: map[uint64]bool{}, done: map[string]answer{}, nextGen: 1000}
}

// open returns a client of the fake.
func (f *fake) open(o Options) *client {
	f.t.Helper()
	o.Conf = NewConf()
	for k, v := range map[string]string{"dfs.ha.namenodes.ns": "a,b", "dfs.namenode.rpc-address.ns.a": "nn1:1", "dfs.namenode.rpc-address.ns.b": "nn2:1", "dfs.blocksize": "4096", "dfs.replication": "3"} {
		o.Conf.Set(k, v)
	}
	o.User = "flume"
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	fsys, err := Open("hdfs://ns", o)
	if err != nil {
		f.t.Fatal(err)
	}
	c := fsys.(*client)
	c.caller.dial = f.dial
	f.t.Cleanup(func() { c.Close() })
	return c
}

func (f *fake) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down[addr] {
		return nil, fmt.Errorf("%s: %w", addr, errRefused)
	}
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		if n, ok := strings.CutPrefix(addr, "nn"); ok {
			f.namenode(server, int(n[0]-'1'))
		} else {
			f.datanode(server, addr)
		}
	}()
	return client, nil
}

func fakeNode(i int) []byte {
	id := new(message).text(1, fmt.Sprint("dn", i)).text(2, fmt.Sprint("dn", i)).text(3, fmt.Sprint("uuid", i)).num(4, 1).num(5, 2).num(6, 3)
	return *new(message).bytes(1, *id)
}

func fakeLocated(b block, offset int64, nodes ...int) []byte {
	m := new(message).bytes(1, b.encode()).num(2, uint64(offset))
	for _, n := range nodes {
		m.bytes(3, fakeNode(n))
	}
	m.flag(4, false).bytes(5, []byte{})
	for _, n := range nodes {
		m.num(7, diskStorage).text(8, fmt.Sprint("DS-", n))
	}
	return *m
}

// namenode serves a connection.
func (f *fake) namenode(nc net.Conn, number int) {
	in := bufio.NewReader(nc)
	hello := make([]byte, 7)
	if _, err := io.ReadFull(in, hello); err != nil || string(hello[:4]) != "hrpc" {
		return
	}
	tries := map[string]int{}
	for {
		frame, err := readFrame(in)
		if err != nil {
			return
		}
		head, rest, err := cut(frame)
		if err != nil {
			f.t.Error(err)
			return
		}
		var call int64
		var id []byte
		s := scan{rest: head}
		for s.next() {
			switch s.no {
			case 3:
				call = s.sint()
			case 4:
				id = s.data
			}
		}
		if call == callContext {
			continue
		}
		head, rest, _ = cut(rest)
		method, _, _ := only(head, 1)
		request, _, _ := cut(rest)
		a, lost := f.answer(number, string(method), fmt.Sprintf("%x %d", id, call), request, tries)
		if lost {
			return
		}
		m := new(message).num(1, uint64(uint32(call)))
		var body []byte
		if remote := (*RemoteError)(nil); errors.As(a.err, &remote) {
			body = delimited(nil, *m.num(2, 1).text(4, remote.Class).text(5, remote.Message))
		} else {
			body = delimited(delimited(nil, *m.num(2, 0)), a.data)
		}
		if _, err := nc.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)); err != nil {
			return
		}
	}
}

func (f *fake) answer(number int, method, id string, request []byte, tries map[string]int) (a answer, lost bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if number != f.active {
		return answer{err: &RemoteError{Class: "org.apache.hadoop.ipc.StandbyException", Message: "not me"}}, false
	}
	f.calls = append(f.calls, method)
	try := 0
	for _, c := range f.calls[:len(f.calls)-1] {
		if c == method {
			try++
		}
	}
	if f.refuse != nil {
		if err := f.refuse(method, try); err != nil {
			return answer{err: err}, false
		}
	}
	a, ok := f.done[id]
	if !ok {
		a = f.act(method, request)
		f.done[id] = a
	}
	return a, f.lose != nil && f.lose(method, try)
}

// act does a call; the lock is held.
func (f *fake) act(method string, request []byte) answer {
	file := *new(message).num(1, 2).text(2, "").num(3, 0).num(10, 3).num(11, 4096).num(13, 77)
	field := func(no int) []byte {
		b, _, _ := only(request, no)
		return b
	}
	yes := answer{data: *new(message).flag(1, true)}
	switch method {
	case "create":
		return answer{data: *new(message).bytes(1, file)}
	case "addBlock":
		var nodes []int
		for i := range 3 {
			if !bytes.Contains(request, []byte(fmt.Sprint("uuid", i))) {
				nodes = append(nodes, i)
			}
		}
		if previous := field(3); previous != nil {
			b, err := decodeBlock(previous)
			if err != nil || b.length != int64(len(f.data[b.id])) || b.generation != f.generation[b.id] || !f.shut[b.id] {
				f.t.Errorf("the block before is said to be %+v; it has %d bytes in generation %d, closed: %v", b, len(f.data[b.id]), f.generation[b.id], f.shut[b.id])
			}
		}
		f.nextGen++
		b := block{pool: "BP-1", id: uint64(len(f.blocks) + 1), generation: f.nextGen}
		for f.generation[b.id] != 0 {
			b.id += 100
		}
		f.blocks = append(f.blocks, b.id)
		f.generation[b.id] = b.generation
		return answer{data: *new(message).bytes(1, fakeLocated(b, 0, nodes...))}
	case "abandonBlock":
		b, _ := decodeBlock(field(1))
		f.blocks = slices.DeleteFunc(f.blocks, func(id uint64) bool { return id == b.id })
		return answer{}
	case "updateBlockForPipeline":
		b, _ := decodeBlock(field(1))
		f.nextGen++
		b.generation = f.nextGen
		return answer{data: *new(message).bytes(1, fakeLocated(b, 0))}
	case "updatePipeline":
		was, _ := decodeBlock(field(2))
		b, _ := decodeBlock(field(3))
		if was.generation != f.generation[b.id] {
			f.t.Errorf("a pipeline is updated from generation %d; it is %d", was.generation, f.generation[b.id])
		}
		f.generation[b.id] = b.generation
		return answer{}
	case "getAdditionalDatanode":
		var nodes []int
		for i := range 9 {
			if bytes.Contains(request, []byte(fmt.Sprint("DS-", i))) { // storages of those that are in
				nodes = append(nodes, i)
			}
		}
		for _, n := range f.spare {
			if !bytes.Contains(request, []byte(fmt.Sprint("uuid", n))) {
				b, _ := decodeBlock(field(2))
				return answer{data: *new(message).bytes(1, fakeLocated(b, 0, append(nodes, n)...))}
			}
		}
		return answer{err: &RemoteError{Class: "java.io.IOException", Message: "no node"}}
	case "complete":
		f.complete = true
		return yes
	case "getBlockLocations":
		m := new(message)
		var offset int64
		for _, id := range f.blocks {
			m.bytes(2, fakeLocated(block{pool: "BP-1", id: id, generation: f.generation[id], length: int64(len(f.data[id]))}, offset, 0, 1, 2))
			offset += int64(len(f.data[id]))
		}
		return answer{data: *new(message).bytes(1, *m.num(1, uint64(offset)).flag(3, false).flag(5, true))}
	case "getServerDefaults":
		return answer{data: *new(message).bytes(1, *new(message).num(6, 0))}
	case "renewLease", "rename2", "delete":
		return yes
	}
	f.t.Errorf("nobody should call %s", method)
	return answer{err: &RemoteError{Class: "java.io.IOException", Message: "what?"}}
}

func (f *fake) count(method string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		if c == method {
			n++
		}
	}
	return n
}

// datanode serves one operation.
func (f *fake) datanode(nc net.Conn, addr string) {
	in := bufio.NewReader(nc)
	var op [3]byte
	if _, err := io.ReadFull(in, op[:]); err != nil {
		return
	}
	request, err := readDelimited(in, maxMessage)
	if err != nil {
		f.t.Error(err)
		return
	}
	header, _, _ := only(request, 1)
	base, _, _ := only(header, 1)
	raw, _, _ := only(base, 1)
	b, err := decodeBlock(raw)
	if err != nil {
		f.t.Error(err)
		return
	}
	if op[2] == opTransfer {
		f.mu.Lock()
		f.copied = append(f.copied, addr)
		f.mu.Unlock()
		nc.Write(delimited(nil, *new(message).num(1, statusOK)))
		return
	}
	if op[2] == opRead {
		f.read(nc, in, addr, b, request)
		return
	}
	f.write(nc, in, addr, b, request)
}

func (f *fake) write(nc net.Conn, in *bufio.Reader, addr string, b block, request []byte) {
	names := []string{addr}
	var stage, acked, generation uint64
	s := scan{rest: request}
	for s.next() {
		switch s.no {
		case 2:
			n, _ := decodeNode(s.data)
			names = append(names, n.addr(false))
		case 4:
			stage = s.num
		case 6:
			acked = s.num
		case 8:
			generation = s.num
		}
	}
	f.mu.Lock()
	number := len(f.pipelines)
	f.pipelines = append(f.pipelines, fmt.Sprint(stage, names))
	var bad []byte
	if f.set != nil {
		bad = f.set(number, names)
	}
	for i, n := range names {
		if f.down[n] && bad == nil && i > 0 {
			bad = *new(message).num(1, 1).text(2, n)
		}
	}
	if bad == nil && generation != 0 {
		if int(acked) > len(f.data[b.id]) {
			f.t.Errorf("a pipeline is recovered at %d of %d bytes", acked, len(f.data[b.id]))
		}
		f.data[b.id] = f.data[b.id][:acked]
		if stage == stageClose|1 {
			f.shut[b.id] = true
		}
	}
	f.mu.Unlock()
	if bad == nil {
		bad = *new(message).num(1, statusOK).text(2, "")
	}
	nc.Write(delimited(nil, bad))
	if stage == stageClose|1 {
		return
	}
	for {
		k, err := readFakePacket(in)
		if err != nil {
			return
		}
		k.nodes = len(names)
		f.mu.Lock()
		if k.seq != heartbeat {
			have := f.data[b.id]
			if k.off > int64(len(have)) || k.last && k.off != int64(len(have)) {
				f.t.Errorf("packet %d of %d bytes at %d; there are %d", k.seq, len(k.data), k.off, len(have))
			}
			if same := min(len(k.data), len(have)-int(k.off)); !bytes.Equal(have[k.off:k.off+int64(same)], k.data[:same]) {
				f.t.Errorf("packet %d changes bytes at %d", k.seq, k.off)
			}
			if end := int(k.off) + len(k.data); end > len(have) {
				f.data[b.id] = append(bytes.Clone(have[:k.off]), k.data...)
			}
		}
		var ack []byte
		if f.acks != nil {
			ack = f.acks(number, k)
		}
		silent := f.silent
		if ack == nil && k.last {
			f.shut[b.id] = true
		}
		f.mu.Unlock()
		if string(ack) == "silent" {
			if silent == nil { // for good
				io.Copy(io.Discard, in)
				return
			}
			<-silent
			ack = nil
		}
		if ack == nil {
			ack = fakeAck(k.seq, make([]uint64, k.nodes)...)
		}
		if len(ack) == 0 {
			return
		}
		if _, err := nc.Write(delimited(nil, ack)); err != nil || k.last {
			return
		}
	}
}

func fakeAck(seq int64, replies ...uint64) []byte {
	m := new(message).sint(1, seq)
	var packed []byte
	for _, r := range replies {
		m.num(2, r)
		packed = binary.AppendUvarint(packed, r)
	}
	return *m.bytes(4, packed)
}

func readFakePacket(in *bufio.Reader) (k fakePacket, err error) {
	var sizes [6]byte
	if _, err := io.ReadFull(in, sizes[:]); err != nil {
		return k, err
	}
	head := make([]byte, binary.BigEndian.Uint16(sizes[4:]))
	body := make([]byte, binary.BigEndian.Uint32(sizes[:])-4)
	if _, err := io.ReadFull(in, head); err != nil {
		return k, err
	}
	if _, err := io.ReadFull(in, body); err != nil {
		return k, err
	}
	var size int
	s := scan{rest: head}
	for s.next() {
		switch s.no {
		case 1:
			k.off = int64(s.num)
		case 2:
			k.seq = int64(s.num)
		case 3:
			k.last = s.num != 0
		case 4:
			size = int(s.num)
		case 5:
			k.sync = s.num != 0
		}
	}
	sums := body[:len(body)-size]
	k.data = body[len(body)-size:]
	for d := k.data; len(d) > 0; sums = sums[4:] {
		n := min(chunk, len(d))
		if crc32.Checksum(d[:n], castagnoli()) != binary.BigEndian.Uint32(sums) {
			return k, errors.New("a wrong checksum")
		}
		d = d[n:]
	}
	if len(sums) > 0 {
		return k, errors.New("too many checksums")
	}
	return k, s.err
}

func (f *fake) read(nc net.Conn, in *bufio.Reader, addr string, b block, request []byte) {
	f.mu.Lock()
	data := f.data[b.id]
	_, off, _ := only(request, 2)
	if f.reading != nil {
		data = f.reading(addr, bytes.Clone(data))
	}
	whole := f.data[b.id]
	f.mu.Unlock()
	first := off / chunk * chunk
	sum := new(message).num(1, crc32c).num(2, chunk)
	nc.Write(delimited(nil, *new(message).num(1, statusOK).bytes(4, *new(message).bytes(1, *sum).num(2, first))))
	for seq := int64(0); int(first) < len(whole); seq++ {
		n := min(1024, len(whole)-int(first))
		k := packet{off: int64(first), seq: seq, data: whole[first:][:n]}
		k.seal(castagnoli())
		if _, err := nc.Write(append(k.head, data[first:][:n]...)); err != nil {
			return
		}
		first += uint64(n)
	}
	k := packet{off: int64(first), last: true}
	k.seal(castagnoli())
	nc.Write(k.head)
	readDelimited(in, maxMessage)
}

// bytes is the file.
func (f *fake) bytes() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []byte
	for _, id := range f.blocks {
		all = append(all, f.data[id]...)
	}
	return all
}

func short(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
