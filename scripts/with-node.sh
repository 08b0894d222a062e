#!/bin/sh
# Run a command with a node and npm that are new enough: those on PATH, else those that uv put into .venv.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

new_enough() {  # Vite needs 20.19 or newer
    command -v npm >/dev/null 2>&1 && node -e '
        const [major, minor] = process.versions.node.split(".").map(Number)
        process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' >/dev/null 2>&1
}

if ! new_enough; then
    PATH="$root/.venv/bin:$PATH"
    export PATH
fi
# node trusts a list of its own unless told otherwise; a machine behind a company proxy has its roots here.
if [ -z "${NODE_EXTRA_CA_CERTS:-}" ] && [ -r /etc/ssl/certs/ca-certificates.crt ]; then
    NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
    export NODE_EXTRA_CA_CERTS
fi
exec "$@"
