"""The client against a real broker, with a secret and without."""

import gzip
import os
import pathlib
import socket
import subprocess
import unittest

import ephemeral_pipe
from ephemeral_pipe import BrokerError, PipeClient

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMAND = ROOT / "bin" / "ephemeral-pipe-broker.js"
# The command of `start`: says where the broker is, and lives until its standard input ends.
REPORT = 'printf "%s\\n%s\\n" "$EPHEMERAL_PIPE" "$EPHEMERAL_SECRET"; exec cat >/dev/null'


class RunningBroker:
    def __init__(self, *options: str):
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("EPHEMERAL_", "BROKER_", "CLIENT_"))
        }
        self._process = subprocess.Popen(
            ["node", str(COMMAND), "start", *options, "--", "sh", "-c", REPORT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self.pipe = self._process.stdout.readline().decode().strip()
        self.secret = self._process.stdout.readline().decode().strip()

    def stop(self) -> int:
        self._process.stdin.close()
        self._process.stdout.close()
        return self._process.wait(timeout=30)


class ClientCases:
    """What holds with a secret and without."""

    options: "tuple[str, ...]" = ()

    @classmethod
    def setUpClass(cls):
        cls.broker = RunningBroker(*cls.options)

    @classmethod
    def tearDownClass(cls):
        status = cls.broker.stop()
        if status != 0:
            raise AssertionError(f"the broker ended with {status}")

    def setUp(self):
        self.client = PipeClient(self.broker.pipe, self.broker.secret)
        self.addCleanup(self.client.close)

    def assert_code(self, code, call, *arguments, **named):
        with self.assertRaises(BrokerError) as raised:
            call(*arguments, **named)
        self.assertEqual(raised.exception.code, code)

    def test_values_come_back(self):
        values = [None, True, 0, -1.5, "", "\N{EURO SIGN}\0\N{PILE OF POO}\n", [1, [2]]]
        values += [{"__proto__": {"a": [None]}}, b"", bytes(range(256)), "x" * 200_000]
        for number, value in enumerate(values):
            self.client.set(f"value {number}", value, ttl_ms=60_000)
        for number, value in enumerate(values):
            self.assertEqual(self.client.get(f"value {number}"), value)

    def test_values_that_others_compressed_are_unpacked(self):
        def put_packed(key, packed):
            self.client._ask("set", key, packed, ephemeral_pipe.GZIP, ttl=60_000)

        text = '{"a":"' + "b" * 100_000 + '"}'
        put_packed("packed", gzip.compress(text.encode()))
        self.assertEqual(self.client.get("packed"), {"a": "b" * 100_000})
        broken = gzip.compress(b"1" * 1000)
        put_packed("cut short", broken[:20] + broken[-8:])
        with self.assertRaises(BrokerError):
            self.client.get("cut short")

    def test_the_largest_value_fits_and_one_byte_more_does_not(self):
        self.client.set("large", b"x" * 262_144, ttl_ms=60_000)
        self.assertEqual(len(self.client.get("large")), 262_144)
        self.assert_code("too_large", self.client.set, "large", b"x" * 262_145, ttl_ms=60_000)

    def test_conditions_and_versions(self):
        first = self.client.set("once", 1, ttl_ms=60_000, if_absent=True)
        self.assert_code("conflict", self.client.set, "once", 2, ttl_ms=1000, if_absent=True)
        second = self.client.set("once", 3, ttl_ms=60_000, if_version=first)
        self.assertGreater(second, first)
        self.assert_code("conflict", self.client.set, "once", 4, ttl_ms=1000, if_version=first)
        entry = self.client.get_entry("once")
        self.assertEqual((entry.value, entry.version), (3, second))
        self.assertTrue(0 < entry.ttl_ms <= 60_000)

    def test_counters_deletion_and_lists(self):
        self.assertEqual(self.client.incr("counted", ttl_ms=60_000), 1)
        self.assertEqual(self.client.incr("counted", -5), -4)
        self.client.set("listed:b", [1], ttl_ms=60_000)
        self.client.set("listed:a", "text", ttl_ms=60_000)
        listed = self.client.list("listed:")
        self.assertEqual(list(listed), ["listed:a", "listed:b"])
        self.assertEqual(listed["listed:b"].size_bytes, 3)
        self.assertTrue(self.client.has("counted"))
        self.assertTrue(self.client.delete("counted"))
        self.assertFalse(self.client.delete("counted"))
        self.assertFalse(self.client.has("counted"))
        self.assert_code("not_found", self.client.get, "counted")

    def test_errors_leave_the_connection_usable(self):
        self.assert_code("ttl_required", self.client.set, "k", 1)
        self.assert_code("invalid_ttl", self.client.set, "k", 1, ttl_ms=0)
        self.assert_code("invalid_key", self.client.get, "")
        self.assert_code("invalid_key", self.client.get, "k" * 513)
        self.assert_code("invalid_key", self.client.get, "\ud800")
        self.assert_code("invalid_value", self.client.set, "k", "\ud800", ttl_ms=1000)
        self.assert_code("invalid_value", self.client.set, "k", float("nan"), ttl_ms=1000)
        self.assert_code("invalid_value", self.client.set, "k", object(), ttl_ms=1000)
        self.client.set("word", "text", ttl_ms=60_000)
        self.assert_code("not_a_number", self.client.incr, "word")
        self.assertGreater(self.client.ping(), 1_600_000_000_000)

    def test_reports(self):
        self.assertIn("uptime", self.client.stats())
        self.assertEqual(self.client.health()["status"], "healthy")
        self.assertIn("\n# TYPE ephemeral_broker_items gauge\n", self.client.metrics())

    def test_many_clients_at_once(self):
        clients = [PipeClient(self.broker.pipe, self.broker.secret) for _ in range(20)]
        for number, client in enumerate(clients):
            client.set(f"client {number}", number, ttl_ms=60_000)
        for number, client in enumerate(reversed(clients)):
            self.assertEqual(client.get(f"client {number}"), number)
        for client in clients:
            client.close()

    def test_no_broker(self):
        self.assert_code("broker_gone", PipeClient, self.broker.pipe + ".none", "")


class WithSecret(ClientCases, unittest.TestCase):
    def test_another_secret_or_none_is_refused(self):
        self.assertTrue(self.broker.secret)
        self.assert_code("auth_failed", PipeClient, self.broker.pipe, "another secret")
        client = PipeClient(self.broker.pipe, "")
        self.assert_code("auth_required", client.ping)
        client.close()

    def test_an_impostor_gets_the_hello_and_nothing_else(self):
        path = self.broker.pipe + ".impostor"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(listener.close)
        listener.bind(path)
        self.addCleanup(os.unlink, path)
        listener.listen()
        child = subprocess.Popen(
            [
                "python3",
                "-c",
                "import sys, ephemeral_pipe\n"
                "try: ephemeral_pipe.PipeClient(sys.argv[1], 'secret')\n"
                "except ephemeral_pipe.BrokerError as error: print(error.code)",
                path,
            ],
            cwd=pathlib.Path(__file__).parent,
            stdout=subprocess.PIPE,
        )
        connection, _ = listener.accept()
        connection.sendall(bytes(64))
        heard = b""
        while more := connection.recv(4096):
            heard += more
        connection.close()
        self.assertEqual(len(heard), 36)
        self.assertEqual(child.communicate(timeout=30)[0].strip(), b"auth_failed")


class WithoutSecret(ClientCases, unittest.TestCase):
    options = ("--no-auth",)

    def test_a_client_with_a_secret_is_refused(self):
        self.assertEqual(self.broker.secret, "")
        self.assert_code("auth_failed", PipeClient, self.broker.pipe, "a secret")


if __name__ == "__main__":
    unittest.main()
