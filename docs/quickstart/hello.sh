#!/bin/sh
# What an agent sees from inside the fence. Needs curl, and nothing else.
set -eu

echo '== a model, streamed, and no key anywhere in here'
curl -sSN https://inference.local/v1/chat/completions \
  -H 'content-type: application/json' \
  -d '{"model":"any","stream":true,"messages":[{"role":"user","content":"Hello"}]}'

echo '== a host that the policy does not name, and why not'
curl -sS http://example.org/
echo
