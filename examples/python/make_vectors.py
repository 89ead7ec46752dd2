"""Writes test/vectors/protocol.json: the worked bytes of PROTOCOL.md, generated without any of the
broker's code. The tests compare the broker, this client and PROTOCOL.md with them.

    python3 make_vectors.py          writes the file
    python3 make_vectors.py --print  prints the vectors as PROTOCOL.md shows them
"""

import hashlib
import hmac
import json
import pathlib
import struct
import sys

from ephemeral_pipe import (
    ACTIONS,
    BINARY,
    FOREVER_MS,
    FRESH,
    IF_ABSENT,
    STATUSES,
    Keys,
    MacRecords,
    Reply,
    Request,
    encode_elements,
    encode_reply,
    encode_request,
    handshake,
    hkdf_sha256,
)

VECTORS_FILE = pathlib.Path(__file__).resolve().parents[2] / "test/vectors/protocol.json"

SECRET = b"correct horse battery staple"
CLIENT_NONCE = bytes(range(0x00, 0x20))
SERVER_NONCE = bytes(range(0xA0, 0xC0))
CHOICE_AES = b"\2"
# The ciphers of EPB3: a client offers some, and a broker chooses one.
CHACHA20, AES, MAC = 1, 2, 4
# The token of a lease.
TOKEN = (1700000000123 << 10) + 5


# ChaCha20-Poly1305 (RFC 8439), a slow implementation from the RFC's own description: Python's
# standard library has none.


def _rotate(word: int, bits: int) -> int:
    return (word << bits | word >> (32 - bits)) & 0xFFFFFFFF


def _quarter_round(state: list, a: int, b: int, c: int, d: int) -> None:
    for x, y, z, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        state[x] = (state[x] + state[y]) & 0xFFFFFFFF
        state[z] = _rotate(state[z] ^ state[x], bits)


def _chacha20_block(key: bytes, counter: int, nonce: bytes) -> bytes:
    start = struct.unpack("<4I", b"expand 32-byte k")
    start += struct.unpack("<8I", key) + (counter,) + struct.unpack("<3I", nonce)
    state = list(start)
    for _ in range(10):
        for column in range(4):
            _quarter_round(state, column, column + 4, column + 8, column + 12)
        for column in range(4):
            _quarter_round(
                state,
                column,
                (column + 1) % 4 + 4,
                (column + 2) % 4 + 8,
                (column + 3) % 4 + 12,
            )
    return struct.pack("<16I", *((x + y) & 0xFFFFFFFF for x, y in zip(state, start)))


def _poly1305(key: bytes, message: bytes) -> bytes:
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(message), 16):
        block = message[at : at + 16] + b"\x01"
        total = (total + int.from_bytes(block, "little")) * r % ((1 << 130) - 5)
    tag = total + int.from_bytes(key[16:], "little")
    return (tag & ((1 << 128) - 1)).to_bytes(16, "little")


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 16)


def chacha20_poly1305(key: bytes, nonce: bytes, plain: bytes, aad: bytes) -> bytes:
    sealed = b""
    for at in range(0, len(plain), 64):
        block = _chacha20_block(key, 1 + at // 64, nonce)
        sealed += bytes(x ^ y for x, y in zip(plain[at : at + 64], block))
    message = _padded(aad) + _padded(sealed) + struct.pack("<QQ", len(aad), len(sealed))
    return sealed + _poly1305(_chacha20_block(key, 0, nonce)[:32], message)


# AES-256-GCM (FIPS 197, NIST SP 800-38D), equally slow.


def _times_x(byte: int) -> int:
    return (byte << 1) ^ (0x11B if byte & 0x80 else 0)


def _sbox() -> bytes:
    """The inverse in GF(2^8), which 3 generates, and an affine map."""
    powers, value = [], 1
    for _ in range(255):
        powers.append(value)
        value ^= _times_x(value)
    inverse = {power: powers[-at % 255] for at, power in enumerate(powers)}
    box = []
    for byte in range(256):
        b = inverse.get(byte, 0)
        spread = b | b << 8
        box.append((b ^ spread >> 4 ^ spread >> 5 ^ spread >> 6 ^ spread >> 7 ^ 0x63) & 0xFF)
    return bytes(box)


SBOX = _sbox()


def _round_keys(key: bytes) -> "list[bytes]":
    words = [key[at : at + 4] for at in range(0, 32, 4)]
    constant = 1
    for i in range(8, 60):
        word = words[-1]
        if i % 8 == 0:
            word = bytes(SBOX[byte] for byte in word[1:] + word[:1])
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = _times_x(constant)
        elif i % 8 == 4:
            word = bytes(SBOX[byte] for byte in word)
        words.append(bytes(x ^ y for x, y in zip(words[-8], word)))
    return [b"".join(words[at : at + 4]) for at in range(0, 60, 4)]


def _mixed(column: bytes) -> bytes:
    total = column[0] ^ column[1] ^ column[2] ^ column[3]
    return bytes(
        column[i] ^ total ^ _times_x(column[i] ^ column[(i + 1) % 4]) for i in range(4)
    )


def _aes_block(keys: "list[bytes]", block: bytes) -> bytes:
    state = bytes(x ^ y for x, y in zip(block, keys[0]))
    for number in range(1, 15):
        state = bytes(SBOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16))
        if number < 14:
            state = b"".join(_mixed(state[at : at + 4]) for at in range(0, 16, 4))
        state = bytes(x ^ y for x, y in zip(state, keys[number]))
    return state


def _gf_times(x: int, y: int) -> int:
    """Multiplies in GF(2^128), whose polynomials have the reverse order of bits."""
    product = 0
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            product ^= y
        y = y >> 1 ^ (0xE1 << 120 if y & 1 else 0)
    return product


def aes_256_gcm(key: bytes, nonce: bytes, plain: bytes, aad: bytes) -> bytes:
    keys = _round_keys(key)
    sealed = b""
    for at in range(0, len(plain), 16):
        block = _aes_block(keys, nonce + struct.pack(">I", 2 + at // 16))
        sealed += bytes(x ^ y for x, y in zip(plain[at : at + 16], block))
    hash_key = int.from_bytes(_aes_block(keys, bytes(16)), "big")
    message = _padded(aad) + _padded(sealed) + struct.pack(">QQ", 8 * len(aad), 8 * len(sealed))
    total = 0
    for at in range(0, len(message), 16):
        total = _gf_times(total ^ int.from_bytes(message[at : at + 16], "big"), hash_key)
    tag = total ^ int.from_bytes(_aes_block(keys, nonce + struct.pack(">I", 1)), "big")
    return sealed + tag.to_bytes(16, "big")


def seal_record(cipher, key: bytes, sequence: int, plain: bytes) -> bytes:
    header = struct.pack("<I", len(plain) + 16)
    nonce = b"\0\0\0\0" + struct.pack("<Q", sequence)
    return header + cipher(key, nonce, plain, header)


def lease_frames() -> "dict[str, bytes]":
    """Leases and waiting requests: requests, replies and events."""
    action = ACTIONS
    token = TOKEN
    key = b"accounts"
    return {
        "request_pool": encode_request(
            Request(
                action["pool"],
                8,
                key,
                b"",
                encode_elements([(b'"anna"', 0), (b"\x00\xff", BINARY)]),
            )
        ),
        "request_lease": encode_request(
            Request(
                action["lease"],
                9,
                key,
                b"w1",
                b"",
                {"ttl": 30000, "wait": FOREVER_MS},
                FRESH,
            )
        ),
        "request_renew_unanswered": encode_request(
            Request(action["renew"], 0, b"", b"", b"", {"fence": token})
        ),
        "request_get_or_set": encode_request(
            Request(
                action["getOrSet"],
                10,
                b"token",
                b"w1",
                b"",
                {"ttl": 60000, "wait": 5000, "period": 1000},
            )
        ),
        "request_release_failed": encode_request(
            Request(action["release"], 11, b"", b"", b"no network", {"fence": token})
        ),
        "request_cancel": encode_request(
            Request(action["cancel"], 12, b"", b"", b"", {"count": 9})
        ),
        "request_join": encode_request(
            Request(action["join"], 16, b"", b"", bytes(range(16)), {"count": 4242})
        ),
        "reply_join": encode_reply(Reply(0, 16, b"", {"count": 7})),
        "reply_lease": encode_reply(
            Reply(0, 9, b'"anna"', {"ttl": 30000, "fence": token})
        ),
        "reply_lease_number": encode_reply(
            Reply(0, 13, b"", {"ttl": 60000, "fence": token + 1, "count": 0})
        ),
        "reply_wait_timeout": encode_reply(Reply(STATUSES.index("wait_timeout"), 9)),
        "reply_renew": encode_reply(
            Reply(0, 14, struct.pack("<QH", token, len(key)) + key, {"count": 1})
        ),
        "reply_leases": encode_reply(
            Reply(
                0,
                15,
                struct.pack(
                    "<BBBQQQQIHH", 1, 3, 0, 7, token, 29000, 1000, 4242, len(key), 2
                )
                + key
                + b"w1",
            )
        ),
        "reply_compute_failed": encode_reply(
            Reply(STATUSES.index("compute_failed"), 10, b"no network")
        ),
        "reply_throttle": encode_reply(
            Reply(0, 16, b"", {"count": 0, "wait": 250, "period": 1000, "burst": 0})
        ),
        "event_watch": encode_reply(
            Reply(0, 0, struct.pack("<BQH", 1, 13, 5) + b"token", {"count": 17})
        ),
        "event_lease_lost": encode_reply(
            Reply(STATUSES.index("lease_lost"), 0, key, {"fence": token})
        ),
    }


def key_frames() -> "dict[str, bytes]":
    """Several leases at once, a lease that another connection takes, descriptions of keys."""
    action = ACTIONS
    key = b"accounts"
    return {
        "request_acquire": encode_request(
            Request(
                action["acquire"],
                18,
                key,
                b"w1",
                struct.pack("<Q", TOKEN),
                {"ttl": 30000, "count": 2, "wait": 5000},
            )
        ),
        "reply_acquire": encode_reply(
            Reply(
                0,
                18,
                encode_elements([(b'"anna"', 0), (b"\x00\xff", BINARY)]),
                {"ttl": 30000, "fence": TOKEN + 2, "burst": 2},
            )
        ),
        "reply_acquire_too_many": encode_reply(
            Reply(STATUSES.index("conflict"), 18, b"", {"count": 1})
        ),
        "reply_acquire_not_found": encode_reply(
            Reply(
                STATUSES.index("not_found"),
                18,
                struct.pack("<BH", 3, 8) + b"Accounts" + struct.pack("<BH", 4, 7) + b"account",
            )
        ),
        "request_number": encode_request(
            Request(action["number"], 19, b"port", b"w1", b"", {"count": 3})
        ),
        "reply_number": encode_reply(
            Reply(
                0,
                19,
                struct.pack("<QQQ", 0, 2, 3),
                {"ttl": 60000, "fence": TOKEN + 3, "count": 0, "burst": 3},
            )
        ),
        "request_take": encode_request(
            Request(action["take"], 20, b"", b"", b"", {"fence": TOKEN})
        ),
        "reply_take": encode_reply(Reply(0, 20)),
        "request_describe": encode_request(Request(action["describe"], 21, key)),
        "reply_describe": encode_reply(Reply(0, 21, struct.pack("<BQQQ", 3, 5, 3, 1))),
        "request_clear": encode_request(Request(action["clear"], 22, b"run:")),
        "reply_clear": encode_reply(Reply(0, 22, b"", {"count": 12, "burst": 1})),
    }


def frames() -> "dict[str, bytes]":
    action = ACTIONS
    return {
        "request_ping": encode_request(Request(action["ping"], 1)),
        "request_get": encode_request(Request(action["get"], 2, b"token")),
        "request_set": encode_request(
            Request(
                action["set"], 3, b"token", b"", b'{"id":7}', {"ttl": 60000}, IF_ABSENT
            )
        ),
        "request_set_bytes": encode_request(
            Request(
                action["set"],
                4,
                "\N{EURO SIGN}".encode(),
                b"",
                b"\x00\xff",
                {"ttl": 1500, "version": 12},
                BINARY,
            )
        ),
        "request_incr": encode_request(
            Request(action["incr"], 5, b"n", b"", b"", {"count": -2})
        ),
        "request_touch": encode_request(
            Request(action["touch"], 23, b"session", b"", b"", {"ttl": 60000})
        ),
        "reply_touch": encode_reply(Reply(0, 23, b"", {"count": 1})),
        **lease_frames(),
        **key_frames(),
        "reply_ping": encode_reply(Reply(0, 1, b"", {"count": 1700000000123})),
        "reply_get": encode_reply(Reply(0, 2, b'{"id":7}')),
        "reply_set": encode_reply(Reply(0, 3, b"", {"version": 13})),
        "reply_not_found": encode_reply(Reply(STATUSES.index("not_found"), 2)),
        "reply_get_entry": encode_reply(
            Reply(0, 6, b"\x00\xff", {"ttl": 1499, "version": 13}, BINARY)
        ),
        "reply_list": encode_reply(
            Reply(0, 7, struct.pack("<QQIH", 59000, 13, 8, 5) + b"token")
        ),
        "refusal_auth_required": encode_reply(Reply(STATUSES.index("auth_required"), 0)),
    }


def records(name: str, keys: Keys, cipher) -> "dict[str, bytes]":
    """A ping and its reply, then two frames in one record. Without a cipher: each with a MAC."""
    made = frames()
    to_server = [made["request_ping"], made["request_get"] + made["request_set"]]
    to_client = [made["reply_ping"]]
    if cipher is None:
        seal_up, seal_down = MacRecords(keys.client_to_server), MacRecords(keys.server_to_client)
        sealed = [seal_up.seal(plain) for plain in to_server]
        sealed += [seal_down.seal(plain) for plain in to_client]
    else:
        sealed = [
            seal_record(cipher, keys.client_to_server, i, plain)
            for i, plain in enumerate(to_server)
        ]
        sealed += [
            seal_record(cipher, keys.server_to_client, i, plain)
            for i, plain in enumerate(to_client)
        ]
    names = ["to_server_0", "to_server_1", "to_client_0"]
    return {f"{name}_record_{which}": data for which, data in zip(names, sealed)}


def session(
    name: str, client_hello: bytes, server_says: bytes, keys: Keys, cipher
) -> "dict[str, bytes]":
    """The whole handshake of a session."""
    return {
        f"{name}_client_hello": client_hello,
        f"{name}_server_hello": server_says + keys.server_proof,
        f"{name}_client_proof": keys.client_proof,
        f"{name}_key_to_server": keys.client_to_server,
        f"{name}_key_to_client": keys.server_to_client,
        **records(name, keys, cipher),
    }


def old_session(magic: bytes, cipher, choice: bytes = b"") -> "dict[str, bytes]":
    keys = handshake(SECRET, magic, CLIENT_NONCE, SERVER_NONCE, choice)
    name = magic.decode().lower()
    return session(name, magic + CLIENT_NONCE, SERVER_NONCE + choice, keys, cipher)


def counted(said: bytes) -> bytes:
    return b"EPB3" + struct.pack("<H", len(said)) + said


def handshake_of_offer(client_hello: bytes, server_says: bytes) -> Keys:
    """As `handshake`, for EPB3: keys and proofs depend on everything that both sides sent."""
    transcript = hashlib.sha256(client_hello + server_says).digest()
    material = hkdf_sha256(SECRET, b"", b"epb3 keys" + transcript, 128)
    server_key, client_key, to_server, to_client = (
        material[at : at + 32] for at in range(0, 128, 32)
    )
    server = hmac.new(server_key, b"epb3 server" + transcript, hashlib.sha256).digest()
    client = hmac.new(client_key, b"epb3 client" + transcript + server, hashlib.sha256).digest()
    return Keys(server, client, to_server, to_client)


def offer_session(
    name: str, offered: int, chosen: int, cipher, scope: bytes = b"", more: bytes = b""
) -> "dict[str, bytes]":
    fields = struct.pack("<IH", offered, len(scope)) + scope + more
    client_hello = counted(CLIENT_NONCE + fields)
    server_says = counted(SERVER_NONCE + struct.pack("<I", chosen))
    keys = handshake_of_offer(client_hello, server_says)
    return session(name, client_hello, server_says, keys, cipher)


def signed_line() -> bytes:
    payload = b'{"action":"get","key":"token"}'
    signature = hmac.new(SECRET, payload, hashlib.sha256).hexdigest()
    return payload[:-1] + b',"hmac":"' + signature.encode() + b'"}'


def vectors() -> "dict[str, bytes]":
    return {
        "secret": SECRET,
        "client_nonce": CLIENT_NONCE,
        "server_nonce": SERVER_NONCE,
        **frames(),
        **offer_session("epb3", CHACHA20 | AES, AES, aes_256_gcm),
        **offer_session(
            "epb3_later",
            CHACHA20 | MAC | 1 << 31,
            CHACHA20,
            chacha20_poly1305,
            b"get ci:*",
            b"later",
        ),
        **offer_session("epb3_mac", MAC, MAC, None),
        **old_session(b"EPBM", None),
        **old_session(b"EPB1", chacha20_poly1305),
        **old_session(b"EPB2", aes_256_gcm, CHOICE_AES),
        "signed_line": signed_line(),
    }


def file_text() -> str:
    return json.dumps({name: data.hex() for name, data in vectors().items()}, indent=2) + "\n"


def printed(name: str, data: bytes) -> str:
    words = [data[at : at + 4].hex() for at in range(0, len(data), 4)]
    lines = [" ".join(words[at : at + 8]) for at in range(0, len(words), 8)]
    return "\n".join(["```text", f"vector {name}", *lines, "```"])


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        for vector_name, vector in vectors().items():
            print(printed(vector_name, vector) + "\n")
    else:
        VECTORS_FILE.write_text(file_text())
