"""Tests the client against a real broker, with a secret and without."""

import gzip
import os
import pathlib
import socket
import subprocess
import threading
import time
import unittest
import unittest.mock

import ephemeral_pipe
import make_vectors
from ephemeral_pipe import BrokerError, PipeClient

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMAND = ROOT / "bin" / "ephemeral-pipe-broker.js"
# Far longer than any wait, also on a busy machine.
PATIENCE_S = 300
# The command of `start`: prints the pipe and the secret, and runs until its standard input ends.
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
        return self._process.wait(timeout=PATIENCE_S)


class ClientCases:
    """Tests with a secret and without."""

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
        self.client = PipeClient(self.broker.pipe, self.broker.secret, timeout=PATIENCE_S)
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

    def test_touch_gives_a_value_another_ttl(self):
        self.client.set("session", 1, ttl_ms=60_000)
        version = self.client.get_entry("session").version
        self.assertTrue(self.client.touch("session", 120_000))
        entry = self.client.get_entry("session")
        self.assertEqual((entry.value, entry.version), (1, version))
        self.assertTrue(60_000 < entry.ttl_ms <= 120_000)
        self.assertFalse(self.client.touch("nothing", 1000))
        self.assert_code("invalid_ttl", self.client.touch, "session", 0)

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
        clients = [
            PipeClient(self.broker.pipe, self.broker.secret, timeout=PATIENCE_S)
            for _ in range(20)
        ]
        for number, client in enumerate(clients):
            client.set(f"client {number}", number, ttl_ms=60_000)
        for number, client in enumerate(reversed(clients)):
            self.assertEqual(client.get(f"client {number}"), number)
        for client in clients:
            client.close()

    def another(self, **named):
        client = PipeClient(
            self.broker.pipe, self.broker.secret, **{"timeout": PATIENCE_S, **named}
        )
        self.addCleanup(client.close)
        return client

    def in_thread(self, call, *arguments, **named):
        """Runs a call that waits; returns a function that waits for its result."""
        result = []

        def run():
            try:
                result.append((call(*arguments, **named), None))
            except BrokerError as error:
                result.append((None, error))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        def wait():
            thread.join(timeout=PATIENCE_S)
            self.assertTrue(result, "the call has not ended")
            value, error = result[0]
            if error is not None:
                raise error
            return value

        return wait

    def until_waiting(self, count):
        while self.client.stats()["waiting"] != count:
            pass

    def test_leases_of_a_pool(self):
        self.assertTrue(self.client.pool("accounts", [{"user": "anna"}, b"\x00\xff"]))
        self.assertFalse(self.client.pool("accounts", [b"\x00\xff", {"user": "anna"}]))
        first = self.client.lease("accounts", "w1", ttl_ms=30_000)
        self.assertEqual((first.value, first.ttl_ms), ({"user": "anna"}, 30_000))
        self.assertEqual(self.client.lease("accounts", "w1"), first._replace(ttl_ms=60_000))
        second = self.client.lease("accounts", "w2")
        self.assertEqual(second.value, b"\x00\xff")
        self.assertGreater(second.token, first.token)
        self.assert_code("lease_held", self.client.lease, "accounts", "w3")
        self.assert_code("wait_timeout", self.client.lease, "accounts", "w3", wait_ms=1)
        waiting = self.in_thread(self.another().lease, "accounts", "w3", wait_ms=60_000)
        self.until_waiting(1)
        self.assertEqual(self.client.release("w2"), 1)
        self.assertEqual(waiting().value, b"\x00\xff")
        self.assertEqual(self.client.release(token=first.token), 1)
        self.assertEqual(self.client.release(token=first.token), 0)

    def test_numbers_limits_and_what_ends_with_a_client(self):
        holder = self.another(worker_id="holder")
        self.assertEqual(holder.lease("ports").value, 0)
        self.assertEqual(self.client.lease("ports", "other").value, 1)
        holder.lease("ports", "stays", detached=True)
        self.assertTrue(self.client.limit("one", 1))
        holder.lease("one")
        waiting = self.in_thread(self.client.lease, "one", wait_ms=60_000)
        while self.another().stats()["waiting"] != 1:
            pass
        holder.close()
        self.assertEqual(waiting().value, 0)
        self.assertEqual(self.client.lease("ports", "next").value, 0)
        self.assertEqual(self.client.release("stays", detached=True), 1)
        self.client.release("other")
        self.client.release("next")
        self.client.release()

    def test_renewing_and_losing(self):
        lease = self.client.lease("renewed", "w1", ttl_ms=1)
        while self.client.release(token=lease.token) != 0:
            lease = self.client.lease("renewed", "w1", ttl_ms=1)
        kept = self.client.lease("kept", "w1")
        renewal = self.client.renew("w1", ttl_ms=50_000)
        self.assertEqual(renewal.renewed, 1)
        self.assert_code("lease_lost", self.client.renew, token=lease.token)
        self.assertEqual(self.client.renew(token=kept.token).renewed, 1)
        self.client.set("result", 1, ttl_ms=60_000, fence=kept.token)
        self.assertEqual(self.another().release("w1", force=True), 1)
        self.assert_code("fenced", self.client.set, "result", 2, 60_000, fence=kept.token)
        self.assertIn(kept.token, self.client.lost_tokens)
        self.assertEqual(self.client.get("result"), 1)
        self.assertIn((kept.token, "kept"), self.client.renew("w1").lost)

    def test_replies_are_those_of_the_worked_bytes(self):
        """Except ids and tokens."""
        made = make_vectors.key_frames()

        def assert_reply(reply, name):
            expected = ephemeral_pipe.decode_reply(made[name][4:])
            numbers = {n: v for n, v in expected.numbers.items() if n != "fence"}
            told = {n: v for n, v in reply.numbers.items() if n != "fence"}
            self.assertEqual((told, reply.body), (numbers, expected.body), name)
            self.assertEqual("fence" in reply.numbers, "fence" in expected.numbers, name)

        ask = self.client._ask
        self.client.pool("worked", ["anna", b"\x00\xff"])
        acquired = ask("acquire", "worked", worker="w1", ttl=30_000, count=2)
        assert_reply(acquired, "reply_acquire")
        assert_reply(ask("take", fence=acquired.numbers["fence"]), "reply_take")
        lowest = ask("number", "worked port", worker="w2")
        ask("number", "worked port", worker="w2")
        self.client.release(token=lowest.numbers["fence"])
        assert_reply(ask("number", "worked port", worker="w1", count=3), "reply_number")
        for number in range(12):
            self.client.set(f"worked run:{number}", number, ttl_ms=60_000)
        self.client.limit("worked run:held", 1)
        ask("acquire", "worked run:held", worker="w1")
        assert_reply(ask("clear", "worked run:"), "reply_clear")

    def test_a_description_is_as_in_the_worked_bytes(self):
        expected = ephemeral_pipe.decode_reply(make_vectors.key_frames()["reply_describe"][4:])
        self.client.pool("described", [1, 2, 3, 4, 5])
        self.client._ask("acquire", "described", worker="w1", count=2)
        waiting = self.another()
        asked = {"worker": "w2", "count": 5, "wait": PATIENCE_S * 1000}
        thread = threading.Thread(target=waiting._ask, args=("acquire", "described"), kwargs=asked)
        thread.start()
        while self.client._ask("describe", "described").body != expected.body:
            self.assertTrue(thread.is_alive())
        self.client.release("w1")
        thread.join(PATIENCE_S)
        self.assertFalse(thread.is_alive())

    def test_an_element_is_held_and_renewed(self):
        self.client.pool("held", ["anna"])
        with self.client.held("held", ttl_ms=1000) as value:
            self.assertEqual(value, "anna")
            self.assert_code("lease_held", self.another().lease, "held", "other", fresh=True)
            # Three times its TTL.
            ended = self.client.ping() + 3000
            while self.client.ping() < ended:
                time.sleep(0.05)
            self.assert_code("lease_held", self.another().lease, "held", "other", fresh=True)
        with self.assertRaises(ZeroDivisionError):
            with self.client.held("held"):
                raise ZeroDivisionError
        with self.client.held("held", wait_ms=0) as value:
            self.assertEqual(value, "anna")
        with self.assertRaisesRegex(BrokerError, "not_found"):
            with self.client.held("misspelt"):
                self.fail("nothing defines the key")

    def test_a_held_element_that_is_lost_fails_its_block(self):
        self.client.pool("stolen", ["anna"])
        with self.assertRaisesRegex(BrokerError, "lease_lost: stolen"):
            with self.client.held("stolen", worker_id="slow"):
                self.assertEqual(self.another().release("slow", force=True), 1)

    def test_workers_of_xdist_have_their_names(self):
        names = {"PYTEST_XDIST_WORKER": "gw1", "CLIENT_WORKER_ID": "", "WORKER_ID": ""}
        with unittest.mock.patch.dict(os.environ, names):
            self.assertEqual(self.another().worker_id, "pytest:gw1")
            self.assertEqual(self.another(worker_id="mine").worker_id, "mine")

    def test_locks(self):
        other = self.another(worker_id="other")
        with self.client.lock("migration") as lease:
            self.assertIsNone(lease.value)
            with self.assertRaisesRegex(BrokerError, "wait_timeout"):
                with other.lock("migration", wait_ms=1):
                    self.fail("two hold the lock")
        with self.client.lock("migration", shared=True):
            with other.lock("migration", shared=True, wait_ms=1):
                pass
        with self.assertRaises(ZeroDivisionError):
            with self.client.lock("migration"):
                raise ZeroDivisionError
        with other.lock("migration", wait_ms=1):
            pass

    def test_one_of_all_computes(self):
        other = self.another(worker_id="other")
        calls = []
        waiting = []

        def compute():
            calls.append("first")
            waiting.append(self.in_thread(other.get_or_set, "login", 60_000, self.fail))
            self.until_waiting(1)
            return {"token": 7}

        self.assertEqual(self.client.get_or_set("login", 60_000, compute), {"token": 7})
        self.assertEqual(waiting[0](), {"token": 7})
        self.assertEqual(self.client.get_or_set("login", 60_000, self.fail), {"token": 7})
        self.assertEqual(calls, ["first"])

    def test_a_computation_that_fails_fails_for_those_who_wait(self):
        other = self.another(worker_id="other")
        waiting = []

        def compute():
            waiting.append(self.in_thread(other.get_or_set, "fails", 60_000, self.fail))
            self.until_waiting(1)
            raise ValueError("no \ud800 network")

        with self.assertRaisesRegex(ValueError, "network"):
            self.client.get_or_set("fails", 60_000, compute)
        with self.assertRaisesRegex(BrokerError, "compute_failed: .*network"):
            waiting[0]()
        self.assertEqual(self.client.get_or_set("fails", 60_000, lambda: 5), 5)

    def test_waiting_for_a_value(self):
        waiting = self.in_thread(self.another().wait_for, "awaited")
        self.until_waiting(1)
        version = self.client.set("awaited", [1], ttl_ms=60_000)
        entry = waiting()
        self.assertEqual((entry.value, entry.version), ([1], version))
        self.assertEqual(self.client.wait_for("awaited", 0).value, [1])
        self.assert_code("wait_timeout", self.client.wait_for, "never", 1)

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
        self.assertEqual(child.communicate(timeout=PATIENCE_S)[0].strip(), b"auth_failed")


class WithoutSecret(ClientCases, unittest.TestCase):
    options = ("--no-auth",)

    def test_a_client_with_a_secret_is_refused(self):
        self.assertEqual(self.broker.secret, "")
        self.assert_code("auth_failed", PipeClient, self.broker.pipe, "a secret")


if __name__ == "__main__":
    unittest.main()
