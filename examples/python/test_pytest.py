"""The package in pytest with xdist: installed from this folder by pip, as a user does."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from test_client import COMMAND, PATIENCE_S

HERE = pathlib.Path(__file__).resolve().parent

CONFTEST = """
import os, pathlib, pytest
from ephemeral_pipe import PipeClient

@pytest.fixture(scope="session")
def broker():
    with PipeClient() as client:
        yield client

@pytest.fixture
def account(broker):
    broker.pool("accounts", ["ann", "bob"])
    with broker.held("accounts") as account:
        # From outside: only one worker at a time may have this file.
        mark = pathlib.Path(os.environ["MARKS"], account)
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        try:
            yield account
        finally:
            mark.unlink()
"""

TESTS = """
import os, pathlib, pytest, time
from ephemeral_pipe import PipeClient

@pytest.mark.parametrize("number", range(9))
def test_an_account(account, broker, number):
    assert broker.worker_id == "pytest:" + os.environ["PYTEST_XDIST_WORKER"]
    time.sleep(0.02)

def test_is_killed(account):
    pathlib.Path(os.environ["MARKS"], account).unlink()
    os.kill(os.getpid(), 9)

def test_loses_its_account(account, broker):
    with PipeClient() as other:
        assert other.release(broker.worker_id, force=True) == 1
"""


class WithXdist(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="epb-pytest-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.site = cls.folder / "site"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(cls.site)]
        subprocess.run([*pip, "-r", str(HERE / "requirements-test.txt")], check=True)
        # setuptools builds in the source folder.
        source = cls.folder / "source"
        source.mkdir()
        for name in ("ephemeral_pipe.py", "pyproject.toml"):
            shutil.copy(HERE / name, source)
        environment = {**os.environ, "PYTHONPATH": str(cls.site)}
        package = [*pip, "--no-deps", "--no-build-isolation", str(source)]
        subprocess.run(package, check=True, env=environment)
        shutil.rmtree(source)

    def run_pytest(self, *words, start=True):
        project = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        marks = project / "marks"
        marks.mkdir()
        (project / "conftest.py").write_text(CONFTEST)
        (project / "test_accounts.py").write_text(TESTS)
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("EPHEMERAL_", "CLIENT_", "PYTEST_"))
        }
        environment.update(PYTHONPATH=str(self.site), MARKS=str(marks), CLIENT_TIMEOUT="120s")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
        if start:
            command = ["node", str(COMMAND), "start", "--", *command]
        result = subprocess.run(
            command,
            cwd=project,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
        )
        self.assertEqual(list(marks.iterdir()), [])
        return result.returncode, result.stdout

    def test_three_workers_two_accounts_and_one_worker_that_is_killed(self):
        status, output = self.run_pytest("-n", "3")
        self.assertEqual(status, 1, output)
        self.assertRegex(output, r"worker 'gw\d' crashed while running .*test_is_killed")
        self.assertIn("lease_lost: accounts: another worker may have it", output)
        self.assertTrue(re.search(r"1 failed, 10 passed, 1 error", output), output)

    def test_without_a_broker_each_test_says_so(self):
        status, output = self.run_pytest("-n", "2", "-k", "an_account", start=False)
        self.assertEqual(status, 1, output)
        self.assertIn("broker_gone: no pipe given, and EPHEMERAL_PIPE is not set", output)
        self.assertRegex(output, r"9 errors")


if __name__ == "__main__":
    unittest.main()
