package oneway

import (
	"encoding/binary"
	"net"

	"golang.org/x/sys/unix"
)

// overflow is what is read beside each datagram: how many the kernel has dropped before it for want of room.
type overflow struct{ oob []byte }

// newOverflow has the kernel count. Where it does not, nothing is said.
func newOverflow(conn *net.UDPConn) overflow {
	if raw, err := conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1) })
	}
	return overflow{make([]byte, unix.CmsgSpace(4))}
}

// dropped is the number, modulo 2³², of which n bytes of oob tell; not ok: it is not told.
func (o overflow) dropped(n int) (count uint32, ok bool) {
	if n < unix.CmsgLen(4) {
		return 0, false
	}
	return binary.NativeEndian.Uint32(o.oob[unix.CmsgLen(0):]), true // nothing else was asked for
}
