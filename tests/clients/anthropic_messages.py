"""anthropic_messages.py whole|stream [GATE]: one message with the official SDK, as its users write it."""

import pathlib
import sys

from anthropic import Anthropic

kind, gate = sys.argv[1], (sys.argv[2] if len(sys.argv) > 2 else "")
client = Anthropic(api_key="any text", max_retries=0, timeout=60)
prompt = f"hello do:gate={gate}" if gate else "hello"
messages = [{"role": "user", "content": prompt}]

if kind == "whole":
    answer = client.messages.create(model="any", max_tokens=9, messages=messages)
    print(answer.model, answer.content[0].text)
elif kind == "stream":
    first = True
    with client.messages.stream(model="any", max_tokens=9, messages=messages) as stream:
        for text in stream.text_stream:
            print(text, end="", flush=True)
            if first and gate:
                # The server sends its second event only once this file exists.
                pathlib.Path("/mnt/work", gate).touch()
            first = False
        print("end", stream.get_final_message().stop_reason)
else:
    sys.exit(f"no such kind: {kind}")
