#!/bin/sh
# Erlang takes its cookie from a file that only its owner can read, which a mounted secret never is.
set -eu
cookie=/var/lib/rabbitmq/.erlang.cookie
umask 077
rm -f "$cookie"
cat /run/secrets/erlang_cookie >"$cookie"
chmod 400 "$cookie"
umask 022
exec docker-entrypoint.sh "$@"
