"""Runs a command on a pseudo-terminal of its own: pty_run.py COMMAND [ARGUMENT ...]

What comes on our standard input is typed on that terminal, what appears there goes to our standard
output. At the end one line on standard error says how the command ended: "exit N" or "signal N".
The terminal does not echo and does not change line ends, so that output can be compared.
"""

import os
import pty
import select
import signal
import sys
import termios


def make_quiet(terminal):
    """No echo, no \n to \r\n; the keys that send signals keep doing so."""
    attributes = termios.tcgetattr(terminal)
    attributes[1] &= ~termios.OPOST
    attributes[3] &= ~(termios.ECHO | termios.ECHONL)
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)


def start(command):
    """The command as the leader of a new session that the terminal controls."""
    pid, master = pty.fork()
    if pid == 0:
        make_quiet(0)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.execvp(command[0], command)
    return pid, master


def read_some(descriptor):
    """The terminal reports EIO once everybody has closed it: that is its end."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def relay(master):
    sources = [master, 0]
    while master in sources:
        ready, _, _ = select.select(sources, [], [])
        for source in ready:
            data = read_some(source)
            if not data:
                sources.remove(source)
            else:
                os.write(1 if source == master else master, data)


def main():
    pid, master = start(sys.argv[1:])
    relay(master)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        print("signal", os.WTERMSIG(status), file=sys.stderr)
    else:
        print("exit", os.WEXITSTATUS(status), file=sys.stderr)


main()
