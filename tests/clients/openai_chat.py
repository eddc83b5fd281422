"""openai_chat.py whole|stream|responses [GATE]: one completion with the official SDK, as its users write it."""

import pathlib
import sys

from openai import OpenAI

kind, gate = sys.argv[1], (sys.argv[2] if len(sys.argv) > 2 else "")
client = OpenAI(api_key="any text", max_retries=0, timeout=60)
prompt = f"hello do:gate={gate}" if gate else "hello"


def seen(first):
    # The server sends its second event only once this file exists.
    if first and gate:
        pathlib.Path("/mnt/work", gate).touch()
    return False


first = True
if kind == "whole":
    answer = client.chat.completions.create(model="any", messages=[{"role": "user", "content": prompt}])
    print(answer.model, answer.choices[0].message.content)
elif kind == "stream":
    for chunk in client.chat.completions.create(
        model="any", messages=[{"role": "user", "content": prompt}], stream=True
    ):
        if chunk.choices[0].delta.content:
            print(chunk.choices[0].delta.content, end="", flush=True)
            first = seen(first)
    print("end")
elif kind == "responses":
    for event in client.responses.create(model="any", input=prompt, stream=True):
        if event.type == "response.output_text.delta":
            print(event.delta, end="", flush=True)
            first = seen(first)
        if event.type == "response.completed":
            print("end")
else:
    sys.exit(f"no such kind: {kind}")
