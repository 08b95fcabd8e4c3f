#!/bin/sh
# Every quorum queue gets a copy on every node: copies.sh FIRST-NODE OTHER-NODE …
set -eu
umask 077
rm -f "$HOME/.erlang.cookie"
cat /run/secrets/erlang_cookie >"$HOME/.erlang.cookie"
chmod 400 "$HOME/.erlang.cookie"
first=$1
shift
for node; do
  rabbitmq-queues --node "$first" grow "$node" all
done
