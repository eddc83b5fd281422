"""workload.py SEQUENTIAL CONCURRENT EVENTS: streamed completions as an agent makes them.

Counts what arrived whole: every piece in order, the finish reason and the end of the stream.
"""

import concurrent.futures
import sys

from openai import OpenAI

sequential, concurrent_count, events = (int(word) for word in sys.argv[1:4])
client = OpenAI(api_key="any text", max_retries=0, timeout=120)
expected = "".join(f"piece-{number} " for number in range(events))


def one(number):
    text, finish = "", None
    messages = [{"role": "user", "content": f"turn {number} do:events={events}"}]
    for chunk in client.chat.completions.create(model="any", messages=messages, stream=True):
        text += chunk.choices[0].delta.content or ""
        finish = chunk.choices[0].finish_reason or finish
    return "whole" if (text, finish) == (expected, "stop") else f"broken: {finish} {text!r}"


def attempt(number):
    try:
        return one(number)
    except Exception as error:  # Reported below, with the count.
        return f"failed: {type(error).__name__}: {error}"


results = [attempt(number) for number in range(sequential)]
with concurrent.futures.ThreadPoolExecutor(max(concurrent_count, 1)) as pool:
    results += pool.map(attempt, range(sequential, sequential + concurrent_count))
for result in sorted(set(results)):
    print(results.count(result), result)
