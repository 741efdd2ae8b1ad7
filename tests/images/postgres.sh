#!/bin/sh
# PostgreSQL in a pod of the tests: makes its data folder at the first start, then is the server.
set -eu
data=${PGDATA:-/var/lib/postgresql/data}
if [ ! -s "$data/PG_VERSION" ]; then
  file=/tmp/password
  (umask 077 && printf '%s' "$POSTGRES_PASSWORD" >"$file")
  /postgresql/bin/initdb --pgdata "$data" --username postgres --pwfile "$file" --auth scram-sha-256 --encoding UTF8 \
    --locale C
  /bin/busybox rm "$file"
  printf 'host all all all scram-sha-256\n' >>"$data/pg_hba.conf"
fi
exec /postgresql/bin/postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp \
  -c shared_buffers=32MB -c max_connections=400 "$@"
