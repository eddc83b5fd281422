"""fetch_requests.py URL: GET with requests."""

import sys

import requests

answer = requests.get(sys.argv[1], timeout=30)
print(answer.status_code, answer.text, end="")
