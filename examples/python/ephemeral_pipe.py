"""A client for the Ephemeral Pipe Broker that needs only Python's standard library.

    import ephemeral_pipe

    with ephemeral_pipe.PipeClient() as client:        # EPHEMERAL_PIPE, EPHEMERAL_SECRET
        client.set("token", {"id": 7}, ttl_ms=60_000)
        print(client.get("token"))
        with client.lock("migration", wait_ms=60_000):
            migrate()

It uses the frames of PROTOCOL.md. With a secret it uses the EPBM session, in which both sides
prove that they have the secret and every record carries an HMAC; without one, EPB0. A client is
one connection and must be used by one thread. It works on Unix systems only. `held` renews its
lease in the background; for other leases call `renew` before their TTL ends. All leases end with
the connection.
"""

import hashlib
import hmac
import json
import os
import socket
import struct
import threading
import zlib
from contextlib import contextmanager
from typing import Any, Callable, Iterable, Iterator, NamedTuple, Optional

VERSION = 1

ACTIONS = {
    "ping": 1,
    "get": 2,
    "set": 3,
    "del": 4,
    "has": 5,
    "ttl": 6,
    "getEntry": 7,
    "incr": 8,
    "list": 9,
    "stats": 10,
    "health": 11,
    "metrics": 12,
    "lease": 13,
    "lock": 14,
    "renew": 15,
    "release": 16,
    "pool": 17,
    "poolAdd": 18,
    "limit": 19,
    "discard": 20,
    "leases": 21,
    "getOrSet": 22,
    "waitFor": 23,
    "watch": 24,
    "barrier": 25,
    "throttle": 26,
    "cancel": 27,
    "join": 29,
    "describe": 30,
    "clear": 31,
    "acquire": 32,
    "number": 33,
    "take": 34,
    "touch": 35,
}

STATUSES = [
    "ok",
    "not_found",
    "ttl_required",
    "invalid_ttl",
    "invalid_key",
    "invalid_value",
    "invalid_json",
    "invalid_request",
    "unknown_action",
    "too_large",
    "max_items",
    "max_memory",
    "max_connections",
    "max_waiters",
    "auth_failed",
    "auth_required",
    "conflict",
    "fenced",
    "not_a_number",
    "kind_mismatch",
    "lease_held",
    "lease_lost",
    "wait_timeout",
    "draining",
    "timeout",
    "broker_gone",
    "key_and_worker_required",
    "worker_required",
    "version_mismatch",
    "internal",
    "compute_failed",
    "worker_already_has_lease",
    "deadlock",
]

# Bits 0 to 7 of the flags select the 8-byte numbers of a frame, in this order.
NUMBERS = ["ttl", "version", "fence", "count", "wait", "period", "burst", "cost"]
SIGNED_NUMBERS = {"count"}
IF_ABSENT = 0x100
FORCE = 0x200
BINARY = 0x400
GZIP = 0x800
FRESH = 0x1000
SHARED = 0x2000
DETACHED = 0x4000
DISCARD = 0x8000

FOREVER_MS = 2**53 - 1
REASON_MAX_BYTES = 1024
RECORD_MAX_BYTES = 1024 * 1024
MAC_BYTES = 32
# The size of a compressed value may be wrong.
UNPACKED_MAX_BYTES = 64 * 1024 * 1024


class BrokerError(Exception):
    """An error of the broker or of the connection. `code` is the wire string."""

    def __init__(self, code: str, message: str = ""):
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code


class Request(NamedTuple):
    action: int
    id: int
    key: bytes = b""
    worker: bytes = b""
    value: bytes = b""
    numbers: dict = {}
    flags: int = 0


class Reply(NamedTuple):
    status: int
    id: int
    body: bytes = b""
    numbers: dict = {}
    flags: int = 0


class Entry(NamedTuple):
    value: Any
    version: int
    ttl_ms: int


class Lease(NamedTuple):
    key: str
    value: Any
    token: int
    ttl_ms: int


class Loss(NamedTuple):
    token: int
    key: str


class Renewal(NamedTuple):
    renewed: int
    lost: "list[Loss]"


class Listed(NamedTuple):
    ttl_ms: int
    version: int
    size_bytes: int


# --- Frames ---


def _pack_numbers(numbers: dict) -> "tuple[int, bytes]":
    flags, packed = 0, b""
    for bit, name in enumerate(NUMBERS):
        if name in numbers:
            flags |= 1 << bit
            packed += struct.pack("<q" if name in SIGNED_NUMBERS else "<Q", numbers[name])
    return flags, packed


def _unpack_numbers(flags: int, data: bytes) -> "tuple[dict, bytes]":
    numbers = {}
    for bit, name in enumerate(NUMBERS):
        if flags & (1 << bit):
            if len(data) < 8:
                raise BrokerError("invalid_request", "a number is missing")
            kind = "<q" if name in SIGNED_NUMBERS else "<Q"
            numbers[name] = struct.unpack_from(kind, data)[0]
            data = data[8:]
    return numbers, data


def encode_request(request: Request) -> bytes:
    flags, numbers = _pack_numbers(request.numbers)
    payload = struct.pack(
        "<BBHIHH",
        VERSION,
        request.action,
        flags | request.flags,
        request.id,
        len(request.key),
        len(request.worker),
    )
    payload += numbers + request.key + request.worker + request.value
    return struct.pack("<I", len(payload)) + payload


def encode_reply(reply: Reply) -> bytes:
    flags, numbers = _pack_numbers(reply.numbers)
    payload = struct.pack("<BBHI", VERSION, reply.status, flags | reply.flags, reply.id)
    payload += numbers + reply.body
    return struct.pack("<I", len(payload)) + payload


def decode_reply(payload: bytes) -> Reply:
    """`payload` is the frame without its length field."""
    if len(payload) < 8:
        raise BrokerError("invalid_request", "a reply is too short")
    version, status, flags, request_id = struct.unpack_from("<BBHI", payload)
    if version != VERSION:
        raise BrokerError("version_mismatch", f"the broker speaks version {version}")
    numbers, body = _unpack_numbers(flags, payload[8:])
    return Reply(status, request_id, body, numbers, flags & 0xFF00)


def decode_list(body: bytes) -> "dict[str, Listed]":
    items, at = {}, 0
    while at < len(body):
        ttl_ms, version, size_bytes, key_bytes = struct.unpack_from("<QQIH", body, at)
        at += 22
        items[body[at : at + key_bytes].decode()] = Listed(ttl_ms, version, size_bytes)
        at += key_bytes
    return items


def decode_losses(body: bytes) -> "list[Loss]":
    losses, at = [], 0
    while at < len(body):
        token, key_bytes = struct.unpack_from("<QH", body, at)
        at += 10
        losses.append(Loss(token, body[at : at + key_bytes].decode()))
        at += key_bytes
    return losses


def encode_elements(elements: "Iterable[tuple[bytes, int]]") -> bytes:
    """Each element is a pair of its bytes, and BINARY or 0."""
    return b"".join(
        struct.pack("<IB", len(data), 1 if flags & BINARY else 0) + data
        for data, flags in elements
    )


# --- The session with a secret ---


def hkdf_sha256(secret: bytes, salt: bytes, info: bytes, size_bytes: int) -> bytes:
    """RFC 5869."""
    extracted = hmac.new(salt, secret, hashlib.sha256).digest()
    out, block, counter = b"", b"", 1
    while len(out) < size_bytes:
        block = hmac.new(extracted, block + info + bytes([counter]), hashlib.sha256).digest()
        out += block
        counter += 1
    return out[:size_bytes]


class Keys(NamedTuple):
    server_proof: bytes
    client_proof: bytes
    client_to_server: bytes
    server_to_client: bytes


def handshake(
    secret: bytes, magic: bytes, client_nonce: bytes, server_nonce: bytes, choice: bytes = b""
) -> Keys:
    """Both proofs and both keys, derived from the secret and the transcript of both hellos.
    `choice` is the broker's byte in a session of EPB2."""
    transcript = hashlib.sha256(magic + client_nonce + server_nonce + choice).digest()
    material = hkdf_sha256(secret, client_nonce + server_nonce, b"epb1 keys", 128)
    server_key, client_key, to_server, to_client = (
        material[at : at + 32] for at in range(0, 128, 32)
    )
    server = hmac.new(server_key, b"epb1 server" + transcript, hashlib.sha256).digest()
    client = hmac.new(client_key, b"epb1 client" + transcript + server, hashlib.sha256).digest()
    return Keys(server, client, to_server, to_client)


class MacRecords:
    """One direction of an EPBM session."""

    def __init__(self, key: bytes):
        self._key = key
        self._sequence = 0

    def _mac(self, header: bytes, content: bytes) -> bytes:
        sequence = struct.pack("<Q", self._sequence)
        self._sequence += 1
        return hmac.new(self._key, sequence + header + content, hashlib.sha256).digest()

    def seal(self, stream: bytes) -> bytes:
        out = b""
        for at in range(0, len(stream), RECORD_MAX_BYTES):
            content = stream[at : at + RECORD_MAX_BYTES]
            header = struct.pack("<I", len(content) + MAC_BYTES)
            out += header + content + self._mac(header, content)
        return out

    def open(self, header: bytes, rest: bytes) -> bytes:
        content, mac = rest[:-MAC_BYTES], rest[-MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(header, content)):
            raise BrokerError("auth_failed", "a record was changed on the way")
        return content


# --- The client ---


def _refusal(data: bytes) -> Optional[str]:
    """The status of a refused connection: one plain reply frame with id 0."""
    if len(data) != 12 or data[:5] != b"\x08\0\0\0\x01" or data[6:] != b"\0" * 6:
        return None
    return STATUSES[data[5]] if 0 < data[5] < len(STATUSES) else None


def _status_name(status: int) -> str:
    return STATUSES[status] if status < len(STATUSES) else "internal"


def _encode_value(value: Any) -> "tuple[bytes, int]":
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value), BINARY
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode(), 0
    except (TypeError, ValueError, RecursionError) as error:
        raise BrokerError("invalid_value", f"not a JSON value, nor bytes: {error}") from None


def _unpack(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        body = unpacker.decompress(packed, UNPACKED_MAX_BYTES)
    except zlib.error as error:
        raise BrokerError("invalid_value", f"not compressed as it claims: {error}") from None
    if not unpacker.eof:
        raise BrokerError("too_large", "the value is cut short, or too large unpacked")
    return body


def _decode_value(body: bytes, flags: int) -> Any:
    if flags & GZIP:
        body = _unpack(body)
    return body if flags & BINARY else json.loads(body)


def _encode_key(key: str) -> bytes:
    try:
        return key.encode()
    except (AttributeError, UnicodeEncodeError):
        raise BrokerError("invalid_key", "a key is a string of well-formed Unicode") from None


def _default_worker_id() -> str:
    """The worker that `epb leases` shows: with pytest-xdist `pytest:gw0` and so on."""
    for name in ("CLIENT_WORKER_ID", "WORKER_ID"):
        if os.environ.get(name):
            return os.environ[name]
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    return f"pytest:{worker}" if worker else f"python-{os.getpid()}"


class _Renewer:
    """Renews one lease every third of its TTL, from a thread and a connection of its own. That
    connection joins the session of the holder but does not take the lease."""

    def __init__(self, connect: "Callable[[], PipeClient]", token: int, ttl_ms: int):
        self._connect = connect
        self._token = token
        self._interval_s = ttl_ms / 3000
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        client: "Optional[PipeClient]" = None
        while not self._ended.wait(self._interval_s):
            try:
                client = client or self._connect()
                client.renew(token=self._token)
            except BrokerError as error:
                if error.code == "lease_lost":
                    break
                # The connection is broken: the next attempt opens another one.
                if client is not None:
                    client.close()
                client = None
        if client is not None:
            client.close()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()


class PipeClient:
    """One connection to a broker. Every failure is a BrokerError."""

    def __init__(
        self,
        pipe: Optional[str] = None,
        secret: Optional[str] = None,
        timeout: float = 5.0,
        worker_id: Optional[str] = None,
    ):
        pipe = pipe or os.environ.get("EPHEMERAL_PIPE")
        if not pipe:
            raise BrokerError("broker_gone", "no pipe given, and EPHEMERAL_PIPE is not set")
        if secret is None:
            secret = os.environ.get("EPHEMERAL_SECRET", "")
        self.worker_id = worker_id or _default_worker_id()
        self._pipe = pipe
        self._secret = secret
        # Connections with the same key are one session. Joining needs no lease, so it comes first.
        self._session_key = os.urandom(16)
        self._has_joined = False
        # The tokens of leases that the broker has reported as lost.
        self.lost_tokens: "set[int]" = set()
        self._timeout = timeout
        self._last_id = 0
        self._stream = b""
        self._sealer: Optional[MacRecords] = None
        self._opener: Optional[MacRecords] = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._connect(pipe, secret.encode())
        except BaseException:
            self._socket.close()
            raise

    def _connect(self, pipe: str, secret: bytes) -> None:
        try:
            self._socket.connect(pipe)
        except OSError as error:
            raise BrokerError("broker_gone", f"no broker at {pipe}: {error.strerror}") from None
        self._check_peer()
        if secret:
            self._prove(secret)
        else:
            self._send(b"EPB0")

    def _check_peer(self) -> None:
        """A broker of another user may be an impostor."""
        if not hasattr(socket, "SO_PEERCRED"):
            return
        credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        uid = struct.unpack("iII", credentials)[1]
        if uid not in (os.geteuid(), 0):
            raise BrokerError("auth_failed", f"the broker belongs to the user {uid}")

    def _prove(self, secret: bytes) -> None:
        nonce = os.urandom(32)
        self._send(b"EPBM" + nonce)
        hello = self._receive_hello()
        keys = handshake(secret, b"EPBM", nonce, hello[:32])
        if not hmac.compare_digest(keys.server_proof, hello[32:]):
            raise BrokerError("auth_failed", "the broker does not have the same secret")
        self._send(keys.client_proof)
        self._sealer = MacRecords(keys.client_to_server)
        self._opener = MacRecords(keys.server_to_client)

    def _receive_hello(self) -> bytes:
        hello = b""
        while len(hello) < 64:
            more = self._receive(64 - len(hello))
            if not more:
                if not hello:
                    raise BrokerError("broker_gone", "the broker closed the connection")
                raise BrokerError(_refusal(hello) or "auth_failed", "the broker refuses us")
            hello += more
        return hello

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except socket.timeout:
            raise BrokerError("timeout", "the broker takes no more requests") from None
        except OSError:
            pass  # The last replies of the broker can still be read.

    def _receive(self, most: int) -> bytes:
        try:
            return self._socket.recv(most)
        except socket.timeout:
            raise BrokerError("timeout", "no answer within the timeout") from None
        except OSError:
            return b""

    def _receive_exactly(self, size_bytes: int) -> bytes:
        data = b""
        while len(data) < size_bytes:
            more = self._receive(size_bytes - len(data))
            if not more:
                raise BrokerError("broker_gone", "the broker closed the connection")
            data += more
        return data

    def _read(self, size_bytes: int) -> bytes:
        """Reads this number of bytes of the stream of frames."""
        if self._opener is None:
            return self._receive_exactly(size_bytes)
        while len(self._stream) < size_bytes:
            header = self._receive_exactly(4)
            length = struct.unpack("<I", header)[0]
            if not MAC_BYTES < length <= RECORD_MAX_BYTES + MAC_BYTES:
                raise BrokerError("auth_failed", "a record has an impossible length")
            self._stream += self._opener.open(header, self._receive_exactly(length))
        data, self._stream = self._stream[:size_bytes], self._stream[size_bytes:]
        return data

    def _exchange(self, frame: bytes, wait_ms: int) -> Reply:
        """Sends a request and waits for its reply; handles events that arrive before it."""
        forever = wait_ms >= FOREVER_MS
        self._send(self._sealer.seal(frame) if self._sealer else frame)
        self._socket.settimeout(None if forever else self._timeout + wait_ms / 1000)
        while True:
            reply = decode_reply(self._read(struct.unpack("<I", self._read(4))[0]))
            if reply.id == self._last_id:
                break
            if reply.id != 0:
                raise BrokerError("internal", "a reply to another request")
            if _status_name(reply.status) == "lease_lost":
                self.lost_tokens.add(reply.numbers["fence"])
            elif reply.status != 0:
                raise BrokerError(_status_name(reply.status), "the broker ends the connection")
        self._socket.settimeout(self._timeout)
        return reply

    def _ask(
        self,
        action: str,
        key: str = "",
        value: bytes = b"",
        flags: int = 0,
        worker: str = "",
        **numbers,
    ) -> Reply:
        if not self._has_joined:
            self._has_joined = True
            self._ask("join", value=self._session_key, count=os.getpid())
        self._last_id = self._last_id % 0xFFFFFFFF + 1
        given = {name: number for name, number in numbers.items() if number is not None}
        request = Request(
            ACTIONS[action],
            self._last_id,
            _encode_key(key),
            _encode_key(worker),
            value,
            given,
            flags,
        )
        try:
            frame = encode_request(request)
        except struct.error as error:
            raise BrokerError("invalid_request", f"out of range: {error}") from None
        try:
            reply = self._exchange(frame, given.get("wait", 0))
        except BaseException:
            # The rest of this reply may still arrive. Closing also ends a lease that it grants.
            self.close()
            raise
        if reply.status != 0:
            code = _status_name(reply.status)
            # The body of other errors may be binary: it lists the holders.
            is_text = code == "compute_failed" and reply.body
            raise BrokerError(code, f"{key}: {reply.body.decode()}" if is_text else key)
        return reply

    def ping(self) -> int:
        """The broker's clock, in milliseconds since 1970."""
        return self._ask("ping").numbers["count"]

    def get(self, key: str) -> Any:
        reply = self._ask("get", key)
        return _decode_value(reply.body, reply.flags)

    def get_entry(self, key: str) -> Entry:
        reply = self._ask("getEntry", key)
        value = _decode_value(reply.body, reply.flags)
        return Entry(value, reply.numbers["version"], reply.numbers["ttl"])

    def set(
        self,
        key: str,
        value: Any,
        ttl_ms: Optional[int] = None,
        if_absent: bool = False,
        if_version: Optional[int] = None,
        fence: Optional[int] = None,
    ) -> int:
        """Returns the key's new version. With `fence`, the token of a lease, it succeeds only
        while that lease lasts."""
        data, flags = _encode_value(value)
        flags |= IF_ABSENT if if_absent else 0
        reply = self._ask(
            "set", key, data, flags, ttl=ttl_ms, version=if_version, fence=fence
        )
        return reply.numbers["version"]

    def delete(self, key: str) -> bool:
        return self._ask("del", key).numbers["count"] == 1

    def has(self, key: str) -> bool:
        return self._ask("has", key).numbers["count"] == 1

    def ttl_ms(self, key: str) -> int:
        return self._ask("ttl", key).numbers["ttl"]

    def touch(self, key: str, ttl_ms: Optional[int] = None) -> bool:
        """Gives a value another TTL, which starts now. False: there is no value."""
        return self._ask("touch", key, ttl=ttl_ms).numbers["count"] == 1

    def incr(self, key: str, by: int = 1, ttl_ms: Optional[int] = None) -> int:
        return self._ask("incr", key, count=by, ttl=ttl_ms).numbers["count"]

    def list(self, prefix: str = "") -> "dict[str, Listed]":
        return decode_list(self._ask("list", prefix).body)

    # --- Leases. A holder is this client and a worker id (the client's by default). With
    # `detached` it is the worker id alone, and the lease outlives the client.

    def lease(
        self,
        key: str,
        worker_id: Optional[str] = None,
        ttl_ms: Optional[int] = None,
        wait_ms: Optional[int] = None,
        fresh: bool = False,
        detached: bool = False,
    ) -> Lease:
        """Leases one thing of a key: an element of its pool, its value, or the lowest free
        number. `lease_held` if nothing is free, `wait_timeout` if nothing is free in `wait_ms`."""
        flags = (FRESH if fresh else 0) | (DETACHED if detached else 0)
        worker = worker_id or self.worker_id
        reply = self._ask("lease", key, b"", flags, worker, ttl=ttl_ms, wait=wait_ms)
        if "count" in reply.numbers:
            value = reply.numbers["count"]
        else:
            value = _decode_value(reply.body, reply.flags)
        return Lease(key, value, reply.numbers["fence"], reply.numbers["ttl"])

    def renew(
        self,
        worker_id: Optional[str] = None,
        key: str = "",
        token: Optional[int] = None,
        ttl_ms: Optional[int] = None,
        detached: bool = False,
    ) -> Renewal:
        """Renews all leases of the worker, those of one key, or the one with this token
        (`lease_lost` if it has ended)."""
        flags = DETACHED if detached else 0
        worker = "" if token is not None else worker_id or self.worker_id
        reply = self._ask("renew", key, b"", flags, worker, ttl=ttl_ms, fence=token)
        return Renewal(reply.numbers["count"], decode_losses(reply.body))

    def release(
        self,
        worker_id: Optional[str] = None,
        key: str = "",
        token: Optional[int] = None,
        force: bool = False,
        discard: bool = False,
        detached: bool = False,
    ) -> int:
        """Releases the same leases as `renew`; returns their number. With `force`, those of every
        client with this worker id; with `discard`, elements leave their pool."""
        flags = (FORCE if force else 0) | (DISCARD if discard else 0)
        flags |= DETACHED if detached else 0
        worker = "" if token is not None else worker_id or self.worker_id
        return self._ask("release", key, b"", flags, worker, fence=token).numbers["count"]

    @contextmanager
    def held(
        self,
        key: str,
        worker_id: Optional[str] = None,
        ttl_ms: int = 60_000,
        wait_ms: int = FOREVER_MS,
    ) -> "Iterator[Any]":
        """Holds an element of a pool, a permit or a value while the block of the `with` runs, and
        renews the lease in the background. `not_found` if nothing defines the key. A block that
        ends after its lease was lost raises `lease_lost`: another worker may have the element."""
        worker = worker_id or self.worker_id
        reply = self._ask("acquire", key, b"", 0, worker, ttl=ttl_ms, wait=wait_ms)
        if "count" in reply.numbers:
            value = reply.numbers["count"]
        else:
            value = _decode_value(reply.body, reply.flags)
        token = reply.numbers["fence"]
        renewer = _Renewer(self._joined, token, ttl_ms)
        try:
            yield value
        except BaseException:
            renewer.stop()
            try:
                self.release(token=token)
            except BrokerError:
                pass  # The error of the block says more.
            raise
        renewer.stop()
        if self.release(token=token) == 0:
            raise BrokerError("lease_lost", f"{key}: another worker may have it")

    def _joined(self) -> "PipeClient":
        """Another connection of this session."""
        client = PipeClient(self._pipe, self._secret, self._timeout, self.worker_id)
        client._session_key = self._session_key
        return client

    @contextmanager
    def lock(
        self,
        name: str,
        worker_id: Optional[str] = None,
        ttl_ms: Optional[int] = None,
        wait_ms: int = FOREVER_MS,
        shared: bool = False,
    ) -> Iterator[Lease]:
        """Holds the lock while the block of the `with` runs, or until its TTL ends."""
        flags = FRESH | (SHARED if shared else 0)
        worker = worker_id or self.worker_id
        reply = self._ask("lock", name, b"", flags, worker, ttl=ttl_ms, wait=wait_ms)
        lease = Lease(name, None, reply.numbers["fence"], reply.numbers["ttl"])
        try:
            yield lease
        finally:
            self.release(token=lease.token)

    def pool(self, key: str, values: "Iterable[Any]") -> bool:
        """Defines the elements that `lease` grants; False if the pool was already defined."""
        packed = encode_elements(_encode_value(value) for value in values)
        return self._ask("pool", key, packed).numbers["count"] == 1

    def limit(self, key: str, permits: int) -> bool:
        """Defines the number of leases of the key that can be held at the same time."""
        return self._ask("limit", key, count=permits).numbers["count"] == 1

    # --- Waiting

    def get_or_set(
        self,
        key: str,
        ttl_ms: int,
        compute: "Callable[[], Any]",
        compute_ttl_ms: Optional[int] = None,
        wait_ms: int = FOREVER_MS,
        refresh_ahead_ms: Optional[int] = None,
    ) -> Any:
        """The value of the key. If it has none, one client computes it and all others wait. If
        the computation fails they get `compute_failed`; if its client dies, the next computes."""
        while True:
            reply = self._ask(
                "getOrSet",
                key,
                worker=self.worker_id,
                ttl=compute_ttl_ms,
                wait=wait_ms,
                period=refresh_ahead_ms,
            )
            if "fence" not in reply.numbers:
                return _decode_value(reply.body, reply.flags)
            token = reply.numbers["fence"]
            try:
                value = compute()
            except BaseException as error:
                reason = (str(error) or type(error).__name__).encode(errors="replace")
                reason = reason[:REASON_MAX_BYTES]
                reason = reason.decode(errors="ignore").encode()
                self._ask("release", "", reason, fence=token)
                raise
            try:
                self.set(key, value, ttl_ms, fence=token)
                return value
            except BrokerError as error:
                if error.code != "fenced":
                    self.release(token=token)
                    raise
                # The computation exceeded its TTL: another client computes, or has computed.

    def wait_for(self, key: str, timeout_ms: int = FOREVER_MS) -> Entry:
        """Waits until the key has a value, and returns it."""
        reply = self._ask("waitFor", key, wait=timeout_ms)
        value = _decode_value(reply.body, reply.flags)
        return Entry(value, reply.numbers["version"], reply.numbers["ttl"])

    def stats(self) -> dict:
        return json.loads(self._ask("stats").body)

    def health(self) -> dict:
        return json.loads(self._ask("health").body)

    def metrics(self) -> str:
        return self._ask("metrics").body.decode()

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> "PipeClient":
        return self

    def __exit__(self, *_) -> None:
        self.close()
