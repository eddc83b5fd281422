#!/bin/sh
# What an agent sees from inside the fence. Needs curl.
set -eu
echo "== a model, streamed, without a key"
curl -sSN https://inference.local/v1/chat/completions \
  -H 'content-type: application/json' \
  -d '{"model":"any","stream":true,"messages":[{"role":"user","content":"Hello"}]}'
echo "== a host that the policy does not name"
curl -sS --proxy "$HTTPS_PROXY" -o /dev/null https://example.org/ || echo "refused, as it should be"
echo "== the reason, as the proxy gives it"
# curl shows the proxy's answer to CONNECT only in its verbose output; nc-like by hand it is one line:
printf 'CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n' |
  curl -sS --max-time 5 telnet://127.0.0.1:3128 | tail -n 1
echo
