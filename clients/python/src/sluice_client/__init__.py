"""Sends events to Apache Flume and to Sluice.

::

    from sluice_client import Event, ThriftClient

    with ThriftClient("collector.example", 4141) as client:
        client.append_batch([Event("line %d" % i, {"State": "coin_log"}) for i in range(100)])

A client sends while its caller waits; a :class:`Sender` has a buffer, in memory or in a file, and tries until it is done.
:mod:`sluice_client.aio` is the same for asyncio.
"""

from .buffer import DROP_OLDEST, WAIT, Buffer, FileBuffer, MemoryBuffer, Rejected
from .client import AvroClient, Client, FailoverClient, HTTPClient, LoadBalancingClient, ThriftClient
from .errors import (
    BufferFullError,
    ClosedError,
    ConfigError,
    ConnectError,
    DeliveryError,
    EventError,
    RejectedError,
    RemoteError,
    SluiceError,
    StatusError,
    StorageError,
)
from .events import AVRO_SCHEMA, Event, decode_event, encode_event
from .handler import SluiceHandler
from .properties import from_properties
from .sender import Counts, Sender

__version__ = "0.1.0"

__all__ = [
    "AVRO_SCHEMA", "AvroClient", "Buffer", "BufferFullError", "Client", "ClosedError", "ConfigError", "ConnectError", "Counts",
    "DROP_OLDEST", "DeliveryError", "Event", "EventError", "FailoverClient", "FileBuffer", "HTTPClient", "LoadBalancingClient",
    "MemoryBuffer", "Rejected", "RejectedError", "RemoteError", "Sender", "SluiceError", "SluiceHandler", "StatusError",
    "StorageError", "ThriftClient", "WAIT", "decode_event", "encode_event", "from_properties",
]
