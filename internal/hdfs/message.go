package hdfs

import (
	"errors"
	"io/fs"
	"math"
	"net"
	"strconv"
	"time"
)

// A block is one of a file's, in one generation: each recovery of its pipeline gives it a higher one, and nodes that
// missed it are known by the old one.
type block struct {
	pool       string
	id         uint64
	generation uint64
	length     int64
}

func (b block) encode() []byte {
	m := new(message).text(1, b.pool).num(2, b.id).num(3, b.generation).num(4, uint64(b.length))
	return *m
}

func decodeBlock(data []byte) (b block, err error) {
	s := scan{rest: data}
	for s.next() {
		switch s.no {
		case 1:
			b.pool = string(s.data)
		case 2:
			b.id = s.num
		case 3:
			b.generation = s.num
		case 4:
			b.length = int64(s.num)
		}
	}
	if s.err == nil && b.length < 0 {
		return b, errors.New("a block of negative length")
	}
	return b, s.err
}

// A node is a DataNode. Its two forms are kept as the NameNode sent them, for they go back to it, and to other nodes.
type node struct {
	info     []byte // DatanodeInfoProto
	id       []byte // DatanodeIDProto
	uuid     string
	ip, host string
	data     int // port
	ipc      int // port
}

func (n *node) addr(byName bool) string {
	host := n.ip
	if byName {
		host = n.host
	}
	return net.JoinHostPort(host, strconv.Itoa(n.data))
}

func decodeNode(data []byte) (n node, err error) {
	n.info = data
	s := scan{rest: data}
	for s.next() {
		if s.no == 1 {
			n.id = s.data
		}
	}
	if s.err != nil {
		return n, s.err
	}
	s = scan{rest: n.id}
	for s.next() {
		switch s.no {
		case 1:
			n.ip = string(s.data)
		case 2:
			n.host = string(s.data)
		case 3:
			n.uuid = string(s.data)
		case 4:
			n.data = int(s.num & 0xffff)
		case 6:
			n.ipc = int(s.num & 0xffff)
		}
	}
	return n, s.err
}

// A replica is a node with the storage on it that holds, or is to hold, a block.
type replica struct {
	node
	storage     string
	storageType uint64 // 1 is DISK
}

// A located block knows where its replicas lie. The token is what DataNodes of a secured cluster want to see.
type located struct {
	block
	offset   int64 // of its first byte in the file
	replicas []replica
	token    []byte // TokenProto
	corrupt  bool
}

const diskStorage = 1

func decodeLocated(data []byte) (l located, err error) {
	var types []uint64
	var storages []string
	s := scan{rest: data}
	for s.next() {
		switch s.no {
		case 1:
			l.block, s.err = decodeBlock(s.data)
		case 2:
			l.offset = int64(s.num)
		case 3:
			var n node
			if n, err = decodeNode(s.data); err != nil {
				return l, err
			}
			l.replicas = append(l.replicas, replica{node: n, storageType: diskStorage})
		case 4:
			l.corrupt = s.num != 0
		case 5:
			l.token = s.data
		case 7:
			types = s.numbers(types)
		case 8:
			storages = append(storages, string(s.data))
		}
	}
	for i := range l.replicas {
		if i < len(types) {
			l.replicas[i].storageType = types[i]
		}
		if i < len(storages) {
			l.replicas[i].storage = storages[i]
		}
	}
	return l, s.err
}

// locations are the blocks of a file.
type locations struct {
	length    int64 // of the complete blocks
	blocks    []located
	open      bool // somebody writes to it
	last      *located
	complete  bool // the last block
	encrypted bool
	striped   bool
}

func decodeLocations(data []byte) (l locations, err error) {
	s := scan{rest: data}
	for s.next() {
		switch s.no {
		case 1:
			l.length = int64(s.num)
		case 2:
			b, err := decodeLocated(s.data)
			if err != nil {
				return l, err
			}
			l.blocks = append(l.blocks, b)
		case 3:
			l.open = s.num != 0
		case 4:
			b, err := decodeLocated(s.data)
			if err != nil {
				return l, err
			}
			l.last = &b
		case 5:
			l.complete = s.num != 0
		case 6:
			l.encrypted = true
		case 7:
			l.striped = true
		}
	}
	return l, s.err
}

// A status is what the NameNode says of a file.
type status struct {
	Info
	id                 uint64
	encrypted, striped bool
}

func decodeStatus(data []byte) (f status, err error) {
	s := scan{rest: data}
	for s.next() {
		switch s.no {
		case 1:
			f.Dir = s.num == 1
		case 2:
			f.Name = string(s.data)
		case 3:
			f.Size = int64(s.num)
		case 4:
			p := scan{rest: s.data}
			for p.next() {
				if p.no == 1 {
					f.Permission = fs.FileMode(p.num & 0o777)
				}
			}
			s.err = p.err
		case 5:
			f.Owner = string(s.data)
		case 6:
			f.Group = string(s.data)
		case 7:
			f.Modified = time.UnixMilli(int64(s.num))
		case 10:
			f.Replication = int(s.num & math.MaxUint16)
		case 11:
			f.BlockSize = int64(s.num)
		case 13:
			f.id = s.num
		case 15:
			f.encrypted = true
		case 17:
			f.striped = true
		}
	}
	if s.err == nil && (f.Size < 0 || f.BlockSize < 0) {
		return f, errors.New("a file of negative size")
	}
	return f, s.err
}

// only returns field no of a message that has one of interest; nil if it is not there.
func only(data []byte, no int) (field []byte, num uint64, err error) {
	s := scan{rest: data}
	for s.next() {
		if s.no == no {
			field, num = s.data, s.num
		}
	}
	return field, num, s.err
}
