#!/usr/bin/env bash
# A client in bash: `epb pipe` keeps the secret, the connection and the leases.
set -euo pipefail

coproc BROKER { epb pipe; }
ask() { # REQUEST -> prints the reply
  printf '%s\n' "$1" >&"${BROKER[1]}"
  IFS= read -r reply <&"${BROKER[0]}" && printf '%s\n' "$reply"
}

ask '{"action":"set","key":"greeting","value":"hello","ttl":60000}' >/dev/null
ask '{"action":"get","key":"greeting"}'
