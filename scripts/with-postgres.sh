#!/usr/bin/env bash
# Runs a command with a PostgreSQL server of its own: on a free loopback port, in a temporary folder, gone afterwards.
# The command finds it in TRAINYARD_TEST_POSTGRES. Installs PostgreSQL from Debian's packages where it is missing.
set -euo pipefail
find_bin() { find /usr/lib/postgresql -maxdepth 3 -name initdb -printf '%h\n' 2>/dev/null | sort -V | tail -n 1; }
bin=$(find_bin)
if [ -z "$bin" ]; then
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null
	bin=$(find_bin)
fi
dir=$(mktemp -d)
as=()
if [ "$(id -u)" = 0 ]; then # The server refuses to run as root.
	chown postgres "$dir"
	as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
fi
cleanup() {
	"${as[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || true
	rm -rf "$dir"
}
trap cleanup EXIT
"${as[@]}" "$bin/initdb" -D "$dir/data" -U trainyard -A trust --no-sync >/dev/null
for _ in 1 2 3 4 5; do # A port may be taken between looking and starting.
	port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
	if "${as[@]}" "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/log" \
		-o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$dir -c fsync=off -c max_connections=200" start >/dev/null; then
		TRAINYARD_TEST_POSTGRES="postgres://trainyard@127.0.0.1:$port/postgres?sslmode=disable" "$@"
		exit
	fi
done
cat "$dir/log" >&2
exit 1
