package wal

import (
	"errors"
	"fmt"
)

// A mark is a place in a data file up to which every record has a write order ID of at most woid.
type mark struct {
	position int64
	woid     int64
}

// A dataMeta is what log-N.meta says.
type dataMeta struct {
	file     uint32
	now      mark // at the last checkpoint that touched the file
	before   mark // what now was before: for the backup checkpoint, which is older
	cipher   string
	keyAlias string
	iv       []byte // nil: not encrypted
}

const formatVersion = 3

func decodeMeta(b []byte) (m dataMeta, err error) {
	msg, _, err := delimited(b)
	if err != nil {
		return m, err
	}
	have, version := 0, uint32(0)
	err = eachField(msg, func(f field) error {
		switch {
		case f.no == 1 && f.wire == wireFixed32:
			version, have = uint32(f.num), have|1
		case f.no == 2 && f.wire == wireFixed32:
			m.file, have = uint32(f.num), have|2
		case f.no == 3 && f.wire == wireFixed64:
			m.now.position, have = int64(f.num), have|4
		case f.no == 4 && f.wire == wireFixed64:
			m.now.woid, have = int64(f.num), have|8
		case f.no == 5 && f.wire == wireBytes:
			m.iv = []byte{}
			return eachField(f.bytes, func(f field) error {
				switch {
				case f.no == 1 && f.wire == wireBytes:
					m.cipher = string(f.bytes)
				case f.no == 2 && f.wire == wireBytes:
					m.keyAlias = string(f.bytes)
				case f.no == 3 && f.wire == wireBytes:
					m.iv = append([]byte{}, f.bytes...)
				}
				return nil
			})
		case f.no == 6 && f.wire == wireFixed64:
			m.before.position = int64(f.num)
		case f.no == 7 && f.wire == wireFixed64:
			m.before.woid = int64(f.num)
		}
		return nil
	})
	switch {
	case err != nil:
		return m, err
	case have != 15:
		return m, errors.New("a field is missing")
	case version != formatVersion:
		return m, fmt.Errorf("version %d", version)
	}
	return m, nil
}

func (m *dataMeta) encode() []byte {
	b := appendFixed32(nil, 1, formatVersion)
	b = appendFixed32(b, 2, m.file)
	b = appendFixed64(b, 3, uint64(m.now.position))
	b = appendFixed64(b, 4, uint64(m.now.woid))
	if m.iv != nil {
		e := appendString(nil, 1, m.cipher)
		e = appendString(e, 2, m.keyAlias)
		e = appendBytes(e, 3, m.iv)
		b = appendBytes(b, 5, e)
	}
	b = appendFixed64(b, 6, uint64(m.before.position))
	b = appendFixed64(b, 7, uint64(m.before.woid))
	return appendDelimited(nil, b)
}

// start is where a replay of a file of format version v begins, given the write order ID of the checkpoint in use.
func (m *dataMeta) start(checkpoint int64, v int) int64 {
	beginning := int64(0)
	if v == 2 {
		beginning = v2Header
	}
	switch {
	case m.now.position <= beginning:
		return beginning
	case m.now.woid <= checkpoint:
		return m.now.position
	case m.before.woid <= checkpoint && m.before.position > beginning:
		return m.before.position
	default:
		return beginning
	}
}
