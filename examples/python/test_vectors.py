"""Compares PROTOCOL.md with the worked bytes and the broker's tables, and the client with both."""

import json
import pathlib
import re
import unittest

import ephemeral_pipe
import make_vectors

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROTOCOL = (ROOT / "PROTOCOL.md").read_text()
FIELD_NAMES = {
    "EPB_HAS_KEY": "key",
    "EPB_HAS_WORKER": "worker",
    "EPB_HAS_VALUE": "value",
    "EPB_F_TTL": "TTL",
    "EPB_F_VERSION": "VERSION",
    "EPB_F_FENCE": "FENCE",
    "EPB_F_COUNT": "COUNT",
    "EPB_F_WAIT": "WAIT",
    "EPB_F_PERIOD": "PERIOD",
    "EPB_F_BURST": "BURST",
    "EPB_F_COST": "COST",
    "EPB_F_IF_ABSENT": "IF_ABSENT",
    "EPB_F_FORCE": "FORCE",
    "EPB_F_BINARY": "BINARY",
    "EPB_F_GZIP": "GZIP",
    "EPB_VALUE_FLAGS": "BINARY, GZIP",
    "EPB_F_FRESH": "FRESH",
    "EPB_F_SHARED": "SHARED",
    "EPB_F_DETACHED": "DETACHED",
    "EPB_F_DISCARD": "DISCARD",
}


def table_rows(heading):
    """The rows, as lists of cells, of the first table below a heading of PROTOCOL.md."""
    section = PROTOCOL.split(f"\n{heading}\n", 1)[1].split("\n#", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def broker_table(path, macro):
    """The arguments of each use of a macro in one of the broker's tables."""
    text = re.sub(r"/\*.*?\*/", "", (ROOT / path).read_text(), flags=re.S)
    for use in re.findall(macro + r"\((.*?)\)\s*(?=" + macro + r"|\Z)", text, flags=re.S):
        joined = re.sub(r'"\s*\n\s*"', "", use)
        yield [part.strip() for part in re.split(r",(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)", joined)]


def fields(expression):
    if expression == "0":
        return set()
    names = (FIELD_NAMES[name.strip()] for name in expression.split("|"))
    return {name for joined in names for name in joined.split(", ")}


class Vectors(unittest.TestCase):
    def test_the_file_is_what_the_script_makes(self):
        self.assertEqual(make_vectors.VECTORS_FILE.read_text(), make_vectors.file_text())

    def test_protocol_md_prints_or_describes_every_vector_and_no_other(self):
        made = json.loads(make_vectors.VECTORS_FILE.read_text())
        blocks = re.findall(r"```text\nvector (\w+)\n(.*?)```", PROTOCOL, flags=re.S)
        printed = {name: re.sub(r"\s|;.*", "", body) for name, body in blocks}
        self.assertEqual(len(printed), len(blocks), "a vector is printed twice")
        described = re.findall(
            r"`(\w+)`", " ".join(row[0] for row in table_rows("### Other vectors"))
        )
        self.assertEqual(sorted([*printed, *described]), sorted(made))
        self.assertEqual(printed, {name: made[name] for name in printed})

    def test_the_cipher_of_the_script_gives_the_example_of_rfc_8439(self):
        sealed = make_vectors.chacha20_poly1305(
            bytes(range(0x80, 0xA0)),
            bytes.fromhex("070000004041424344454647"),
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for "
            b"the future, sunscreen would be it.",
            bytes.fromhex("50515253c0c1c2c3c4c5c6c7"),
        )
        self.assertEqual(sealed[:16].hex(), "d31a8d34648e60db7b86afbc53ef7ec2")
        self.assertEqual(sealed[-16:].hex(), "1ae10b594f09e26a7e902ecbd0600691")

    def test_the_other_cipher_gives_the_example_of_its_authors(self):
        """Test case 16 of McGrew and Viega, The Galois/Counter Mode of Operation."""
        sealed = make_vectors.aes_256_gcm(
            bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2),
            bytes.fromhex("cafebabefacedbaddecaf888"),
            bytes.fromhex(
                "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
            ),
            bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
        )
        self.assertEqual(sealed[:16].hex(), "522dc1f099567d07f47f37a32a84427d")
        self.assertEqual(sealed[-16:].hex(), "76fc6ece0f4e1768cddf8853bb2d551b")

    def test_replies_are_decoded(self):
        made = make_vectors.frames()
        reply = ephemeral_pipe.decode_reply(made["reply_get_entry"][4:])
        self.assertEqual(reply.numbers, {"ttl": 1499, "version": 13})
        self.assertEqual((reply.id, reply.body), (6, b"\x00\xff"))
        self.assertEqual(reply.flags, ephemeral_pipe.BINARY)
        listed = ephemeral_pipe.decode_list(
            ephemeral_pipe.decode_reply(made["reply_list"][4:]).body
        )
        self.assertEqual(listed, {"token": ephemeral_pipe.Listed(59000, 13, 8)})
        renewed = ephemeral_pipe.decode_reply(made["reply_renew"][4:])
        token = ephemeral_pipe.decode_reply(made["reply_lease"][4:]).numbers["fence"]
        self.assertEqual(
            ephemeral_pipe.decode_losses(renewed.body), [ephemeral_pipe.Loss(token, "accounts")]
        )

    def test_records_are_opened_once_and_in_order(self):
        vectors = make_vectors.vectors()
        key = vectors["epbm_key_to_server"]
        first = vectors["epbm_record_to_server_0"]
        opener = ephemeral_pipe.MacRecords(key)
        self.assertEqual(opener.open(first[:4], first[4:]), vectors["request_ping"])
        with self.assertRaisesRegex(ephemeral_pipe.BrokerError, "auth_failed"):
            opener.open(first[:4], first[4:])


class Tables(unittest.TestCase):
    def test_statuses_are_those_of_the_broker(self):
        rows = list(broker_table("csrc/base/status.def", "EPB_STATUS"))
        self.assertGreater(len(rows), 20)
        expected = [[row[0], f"`{json.loads(row[2])}`"] for row in rows]
        self.assertEqual([row[:2] for row in table_rows("## Statuses")], expected)
        self.assertEqual(ephemeral_pipe.STATUSES, [json.loads(row[2]) for row in rows])

    def test_actions_are_those_of_the_broker(self):
        rows = list(broker_table("csrc/core/commands.def", "EPB_COMMAND"))
        self.assertGreater(len(rows), 10)
        documented = table_rows("## Actions")
        self.assertEqual(len(documented), len(rows))
        for row, said in zip(rows, documented):
            number, _, wire, *rest = row
            members = dict(re.findall(r"\.(\w+)\s*=\s*([^,]+)", ", ".join(rest)))
            self.assertEqual(said[:2], [number, f"`{json.loads(wire)}`"])
            for member, cell in (("needs", said[2]), ("takes", said[3])):
                names = set() if cell == "-" else set(cell.split(", "))
                self.assertEqual(names, fields(members.get(member, "0")), wire)
        self.assertEqual(
            ephemeral_pipe.ACTIONS, {json.loads(row[2]): int(row[0]) for row in rows}
        )

    def test_flags_are_those_of_the_broker(self):
        text = (ROOT / "csrc/core/msg.h").read_text()
        defined = {
            FIELD_NAMES[name]: int(value, 16)
            for name, value in re.findall(r"#define (EPB_F_\w+)[\s\\]+(0x[0-9A-Fa-f]+)U", text)
        }
        documented = {row[0]: int(row[1].strip("`"), 16) for row in table_rows("### Flags")}
        self.assertEqual(documented, defined)


if __name__ == "__main__":
    unittest.main()
