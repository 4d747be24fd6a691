"""A conversation with a receiver, apart from how bytes move.

Whatever is said to a receiver is a generator of :data:`Steps`: it yields bytes that are to be sent, or None for what
comes next from the network, which it is then given (b"" at the end). So one text serves threads and asyncio::

    session.exchange(call)  ->  Pipe: [deflate] [TLS] [deflate]  ->  steps  ->  a socket, or asyncio's streams
"""

import ssl
import zlib
from typing import Callable, Generator, List, Optional, TypeVar

from .errors import DeliveryError

T = TypeVar("T")
Steps = Generator[Optional[bytes], bytes, T]

MOST = 16 << 20  # bytes of one answer: more is no answer of a receiver of events
CHUNK = 1 << 16


class Layer:
    """What stands between the words of a protocol and the network."""

    def outgoing(self, data: bytes) -> bytes:
        raise NotImplementedError

    def incoming(self, data: bytes) -> bytes:
        raise NotImplementedError

    def reply(self) -> bytes:
        """What the layer itself has to send after something came in."""
        return b""


class Deflate(Layer):
    """One zlib stream for each direction, flushed after each write."""

    def __init__(self, level: int) -> None:
        self._out = zlib.compressobj(level)
        self._in = zlib.decompressobj()

    def outgoing(self, data: bytes) -> bytes:
        return self._out.compress(data) + self._out.flush(zlib.Z_SYNC_FLUSH)

    def incoming(self, data: bytes) -> bytes:
        try:
            plain = self._in.decompress(data, MOST)
        except zlib.error as e:
            raise DeliveryError("the receiver does not compress, or what came is broken: %s" % e) from e
        if self._in.unconsumed_tail:
            raise DeliveryError("an answer of more than %d bytes" % MOST)
        return plain


class TLS(Layer):
    """TLS between two buffers, so that it can have the compression inside or outside."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._network_in, self._network_out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._network_in, self._network_out, server_hostname=host)

    def handshake(self) -> bool:
        """Goes on with the handshake; True: it is over."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def outgoing(self, data: bytes) -> bytes:
        self._tls.write(data)
        return self._network_out.read()

    def incoming(self, data: bytes) -> bytes:
        self._network_in.write(data)
        parts: List[bytes] = []
        try:
            while True:
                part = self._tls.read(CHUNK)
                if not part:
                    break
                parts.append(part)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        return b"".join(parts)

    def feed(self, data: bytes) -> None:
        """What came during the handshake."""
        self._network_in.write(data)

    def reply(self) -> bytes:
        return self._network_out.read()


class Pipe:
    """The layers of one connection, and what has come and not been read."""

    def __init__(self, tls: Optional[Callable[[], TLS]], deflate: Optional[int], inside: bool) -> None:
        self._tls = tls() if tls else None
        squeeze = Deflate(deflate) if deflate is not None else None
        within = squeeze if inside else None
        around = None if inside else squeeze
        self._around = around
        self._layers = [layer for layer in (within, self._tls, around) if layer is not None]
        self._came = bytearray()

    def open(self) -> Steps[None]:
        """The handshake of TLS."""
        tls, around = self._tls, self._around
        if tls is None:
            return
        while True:
            done = tls.handshake()
            said = tls.reply()
            if said:
                yield around.outgoing(said) if around else said
            if done:
                return
            data = yield None
            if not data:
                raise DeliveryError("the receiver closed the connection during the TLS handshake")
            tls.feed(around.incoming(data) if around else data)

    def wrap(self, data: bytes) -> bytes:
        """What is sent for some bytes."""
        for layer in self._layers:
            data = layer.outgoing(data)
        return data

    def _more(self) -> Steps[None]:
        data = yield None
        if not data:
            raise DeliveryError("the receiver closed the connection")
        said = b""
        for i in range(len(self._layers) - 1, -1, -1):
            layer = self._layers[i]
            data = layer.incoming(data)
            said = layer.reply()
            for outer in self._layers[i + 1 :] if said else ():
                said = outer.outgoing(said)
            if said:
                yield said
        self._came += data

    def take(self, n: int) -> Steps[bytes]:
        """The next n bytes."""
        while len(self._came) < n:
            yield from self._more()
        data = bytes(self._came[:n])
        del self._came[:n]
        return data

    def frame(self) -> Steps[bytes]:
        """What follows the next int32, which tells its length."""
        came = self._came
        while len(came) < 4:
            yield from self._more()
        n = int.from_bytes(came[:4], "big")
        if not 0 < n <= MOST:
            raise DeliveryError("the receiver's answer is no framed Thrift: a frame of %d bytes" % n)
        while len(came) < 4 + n:
            yield from self._more()
        data = bytes(came[4 : 4 + n])
        del came[: 4 + n]
        return data

    def line(self, most: int) -> Steps[bytes]:
        """The next line, without its end."""
        while True:
            end = self._came.find(b"\n")
            if end >= 0:
                return (yield from self.take(end + 1)).rstrip(b"\r\n")
            if len(self._came) > most:
                raise DeliveryError("a line of more than %d bytes in the receiver's answer" % most)
            yield from self._more()
