"""fetch_httpx.py URL: GET with httpx, sync and async."""

import asyncio
import sys

import httpx


async def later():
    async with httpx.AsyncClient() as client:
        return await client.get(sys.argv[1])


for answer in (httpx.get(sys.argv[1]), asyncio.run(later())):
    print(answer.status_code, answer.text, end="")
