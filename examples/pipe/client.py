"""A client in Python: `epb pipe` keeps the secret, the connection and the leases."""

import json
import subprocess

broker = subprocess.Popen(["epb", "pipe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(request):
    print(json.dumps(request), file=broker.stdin, flush=True)
    return json.loads(broker.stdout.readline())


ask({"action": "set", "key": "greeting", "value": "hello", "ttl": 60000})
print(json.dumps(ask({"action": "get", "key": "greeting"}), separators=(",", ":")))
broker.stdin.close()
broker.wait()
