"""A handler for Python's logging."""

import logging
import socket
from typing import Mapping, Optional

from .errors import ConfigError
from .events import Event
from .sender import Sender

_PREFIX = "flume.client.log4j."


class SluiceHandler(logging.Handler):
    """Sends log records as events: the formatted text as body, and the headers of Flume's Log4j appender.

    :param sender: sends them; a :class:`Sender` with a FileBuffer loses none. The handler closes it
    :param headers: further headers of every event
    :param timeout: how many seconds a program may wait where the buffer is full; what finds no room then is counted in ``lost``
                    and told to ``logging.raiseExceptions``' usual way. None: as long as it takes

    Headers: ``flume.client.log4j.`` ``timestamp`` (ms), ``logger.name``, ``log.level`` (20000 is INFO), ``message.encoding``;
    ``timestamp`` (ms), by which ``%Y-%m-%d`` in paths and topics goes, and ``host``.
    """

    def __init__(self, sender: Sender, headers: Optional[Mapping[str, str]] = None, level: int = logging.NOTSET, timeout: Optional[float] = 1.0) -> None:
        super().__init__(level)
        if not isinstance(sender, Sender):
            raise ConfigError("a handler needs a Sender, so that a program does not wait for the network where it logs")
        self.sender = sender
        self.lost = 0
        self._timeout = timeout
        self._headers = {"host": socket.gethostname(), **(headers or {})}

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] == "sluice_client":
            return  # what the sender says of itself must not wait for the sender
        try:
            self.sender.send(self.event(record), self._timeout)
        except Exception:
            self.lost += 1
            self.handleError(record)

    def event(self, record: logging.LogRecord) -> Event:
        """What is sent of a record."""
        headers = dict(self._headers)
        stamp = str(int(record.created * 1000))
        headers["timestamp"] = stamp
        headers[_PREFIX + "timestamp"] = stamp
        headers[_PREFIX + "logger.name"] = record.name
        headers[_PREFIX + "log.level"] = str(record.levelno * 1000)
        headers[_PREFIX + "message.encoding"] = "UTF8"
        return Event(self.format(record).encode("utf-8", "backslashreplace"), headers)

    def flush(self) -> None:
        """Nothing: the sender goes on by itself, and a program that flushes after each line would wait for the network."""

    def close(self) -> None:
        self.sender.close()
        super().close()
