"""Flume's properties of RPC clients, by their names::

    client.type = default_failover        default, default_failover, default_loadbalance, thrift
    hosts = h1 h2
    hosts.h1 = collector1.example:41414
    hosts.h2 = collector2.example:41414
"""

import logging
import os
import ssl
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union

from . import client
from ._target import Security
from .errors import ConfigError

log = logging.getLogger("sluice_client.properties")

Properties = Union[Mapping[str, str], "os.PathLike[str]", str]

_IDLE = {
    "maxIoWorkers": "has no effect, as in Flume 1.10 and later",
    "maxConnections": "has no effect: a client has one connection",
    "exclude-cipher-suites": "is not applied: give a client an ssl.SSLContext that has the suites",
    "include-cipher-suites": "is not applied: give a client an ssl.SSLContext that has the suites",
}
_KERBEROS = ("client-principal", "client-keytab", "server-principal")
_VERSIONS = {"TLSv1": "TLSv1", "TLSv1.1": "TLSv1_1", "TLSv1.2": "TLSv1_2", "TLSv1.3": "TLSv1_3"}


def from_properties(properties: Properties) -> client.Client:
    """A client of Flume's properties: a mapping, or the name of a properties file. What is odd is logged as a warning."""
    made: client.Client = make(properties, client)
    return made


def make(properties: Properties, kinds: Any) -> Any:
    """One of the clients that a module has."""
    setup = read(properties)
    for text in setup.odd:
        log.warning("%s", text)
    if setup.kind == "thrift":
        clients = [kinds.ThriftClient(host, port, protocol=setup.protocol, **setup.common) for host, port in setup.addresses]
    else:
        clients = [kinds.AvroClient(host, port, **setup.common, **setup.avro) for host, port in setup.addresses]
    if setup.kind == "default_failover":
        return kinds.FailoverClient(clients, max_attempts=setup.max_attempts)
    if setup.kind == "default_loadbalance":
        return kinds.LoadBalancingClient(clients, host_selector=setup.selector, backoff=setup.backoff, max_backoff=setup.max_backoff)
    return clients[0]


class Setup(NamedTuple):
    """Properties, understood."""

    kind: str
    addresses: List[Tuple[str, int]]
    common: Dict[str, object]
    avro: Dict[str, object]
    protocol: str
    max_attempts: int
    selector: str
    backoff: bool
    max_backoff: float
    odd: List[str]


class _Reader:
    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = {key: value.strip() for key, value in values.items() if value.strip()}
        self.read = {"client.type", "hosts"}
        self.odd: List[str] = []

    def text(self, key: str, default: str = "") -> str:
        self.read.add(key)
        return self._values.get(key, default)

    def flag(self, key: str) -> bool:
        return self.text(key).lower() == "true"

    def number(self, key: str, default: int, least: int) -> int:
        """As Flume reads them: what is no number, or too small, is the default."""
        text = self.text(key)
        if not text:
            return default
        try:
            n = int(text)
        except ValueError:
            self.odd.append("%s: %r is not a number; %d is used" % (key, text, default))
            return default
        if n < least:
            self.odd.append("%s: %d is less than %d; %d is used" % (key, n, least, default))
            return default
        return n

    def strict(self, key: str, default: int) -> int:
        text = self.text(key) or str(default)
        try:
            n = int(text)
        except ValueError:
            raise ConfigError("%s: %r is not a number" % (key, text)) from None
        if n < 0:
            raise ConfigError("%s: %d is less than 0" % (key, n))
        return n

    def left(self) -> List[str]:
        return sorted(key for key in self._values if key not in self.read and not key.startswith("hosts."))


def read(properties: Properties) -> Setup:
    r = _Reader(load(properties) if isinstance(properties, (str, os.PathLike)) else properties)
    kind = r.text("client.type", "default").lower()
    if kind not in ("default", "default_failover", "default_loadbalance", "thrift"):
        raise ConfigError("client.type: %r is not one of default, default_failover, default_loadbalance, thrift" % kind)
    common: Dict[str, object] = {
        "batch_size": r.number("batch-size", 100, 1),
        "connect_timeout": r.number("connect-timeout", 20000, 1000) / 1000,
        "request_timeout": r.number("request-timeout", 20000, 1000) / 1000,
        "tls": _tls(r),
    }
    compression = r.text("compression-type", "none")
    level = r.number("compression-level", 6, -1)
    inside = r.flag("compress-inside-tls")
    if compression not in ("none", "deflate"):
        r.odd.append("compression-type: %r is not none or deflate; none is used" % compression)
    if compression == "deflate" and kind == "thrift":
        r.odd.append("compression-type has no effect: only Avro is compressed")
    if compression == "deflate" and not 0 <= level <= 9:
        raise ConfigError("compression-level: %d is not between 0 and 9" % level)
    protocol = r.text("protocol", "compact")
    if protocol not in ("compact", "binary"):
        r.odd.append("protocol: %r is not compact or binary; compact is used" % protocol)
        protocol = "compact"
    if r.flag("kerberos"):
        raise ConfigError("kerberos: is not supported; use TLS, or a Flume or Sluice agent beside the program")
    for key in _KERBEROS:
        r.text(key)
    for key, why in _IDLE.items():
        if r.text(key):
            r.odd.append("%s %s" % (key, why))
    setup = Setup(
        kind, _addresses(r, kind), common, {"compression_level": level if compression == "deflate" else None, "compress_inside_tls": inside},
        protocol, r.number("max-attempts", 0, 0), r.text("host-selector", "round_robin").lower(), r.flag("backoff"),
        r.strict("maxBackoff", 0) / 1000 or 30.0, r.odd,
    )
    for key in r.left():
        r.odd.append("%s: is not a property of a client" % key)
    return setup


def _addresses(r: _Reader, kind: str) -> List[Tuple[str, int]]:
    names = r.text("hosts").split()
    if not names:
        raise ConfigError("hosts: names no receiver")
    addresses: List[Tuple[str, int]] = []
    for name in names:
        text = r.text("hosts." + name)
        if text:
            addresses.append(_address("hosts." + name, text))
        elif kind == "default":
            raise ConfigError("hosts: names %r, and hosts.%s is not set" % (name, name))
        else:
            r.odd.append("hosts: names %r, and hosts.%s is not set; it is left out" % (name, name))
    if not addresses:
        raise ConfigError("hosts: names no receiver that has an address")
    if kind == "default_loadbalance" and len(addresses) < 2:
        raise ConfigError("hosts: names one receiver; default_loadbalance needs two at least")
    if kind in ("default", "thrift") and len(addresses) > 1:
        r.odd.append("hosts: names %d receivers; only the first is used; client.type = default_failover uses them all" % len(addresses))
    return addresses


def _address(key: str, text: str) -> Tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigError("%s: %r is not host:port; an IPv6 address stands in brackets" % (key, text))
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError("%s: %r is not host:port" % (key, text))
    return host, int(port)


def _tls(r: _Reader) -> Security:
    use, everyone, verify = r.flag("ssl"), r.flag("trust-all-certs"), r.flag("verify-hostname")
    store = r.text("truststore") or os.environ.get("FLUME_SSL_TRUSTSTORE_PATH", "")
    password, typ = r.text("truststore-password"), r.text("truststore-type")
    excluded = r.text("exclude-protocols").split() + ["SSLv3"]
    included = r.text("include-protocols").split()
    if not use:
        return None
    context = ssl.create_default_context(cafile=_pem(store, typ) if store and not everyone else None)
    context.check_hostname = verify  # no client of Flume checks it
    if everyone:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if password and store.endswith(".pem"):
        r.odd.append("truststore-password has no effect: a PEM file has none")
    for name, attribute in _VERSIONS.items():
        if name in excluded or included and name not in included:
            context.options |= getattr(ssl, "OP_NO_" + attribute)
    return context


def _pem(store: str, typ: str) -> Optional[str]:
    try:
        with open(store, "rb") as f:
            text = f.read(1 << 20)
    except OSError as e:
        raise ConfigError("truststore: %s" % e) from e
    if b"-----BEGIN" not in text:
        raise ConfigError(
            "truststore: %s is a key store of Java%s; Python reads PEM, which keytool -list -rfc -keystore %s > trust.pem makes of it"
            % (store, " (%s)" % typ if typ else "", store)
        )
    return store


def load(path: Union[str, "os.PathLike[str]"]) -> Dict[str, str]:
    """The pairs of a Java properties file."""
    try:
        with open(path, encoding="utf-8") as f:
            lines = f.read().split("\n")
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError("reading properties: %s" % e) from e
    values: Dict[str, str] = {}
    whole = ""
    for line in lines:
        line = line.rstrip("\r").lstrip()
        if not whole and line[:1] in ("#", "!"):
            continue
        whole += line
        if (len(whole) - len(whole.rstrip("\\"))) % 2:
            whole = whole[:-1]  # goes on in the next line
            continue
        if whole:
            key, value = _pair(whole)
            values[key] = value
        whole = ""
    if whole:
        key, value = _pair(whole)
        values[key] = value
    return values


def _pair(line: str) -> Tuple[str, str]:
    at, key = 0, ""
    while at < len(line) and line[at] not in "=: \t\f":
        at += 2 if line[at] == "\\" else 1
    key, rest = line[:at], line[at:].lstrip(" \t\f")
    if rest[:1] in ("=", ":"):
        rest = rest[1:].lstrip(" \t\f")
    return _plain(key), _plain(rest)


def _plain(text: str) -> str:
    if "\\" not in text:
        return text
    out, at = [], 0
    while at < len(text):
        c = text[at]
        at += 1
        if c == "\\" and at < len(text):
            c = text[at]
            at += 1
            if c == "u":
                try:
                    c = chr(int(text[at : at + 4], 16))
                except ValueError:
                    raise ConfigError("reading properties: \\u%s is no character" % text[at : at + 4]) from None
                at += 4
            else:
                c = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}.get(c, c)
        out.append(c)
    return "".join(out)
