"""Callers that rescore lists without a pause, as a decoder's workers do, until a file appears.

    python steady_calls.py TARGET LISTS NUM_CALLERS STOP_FILE

Prints a JSON object: the number of answered calls, and the errors of the others.
"""

import asyncio
import json
import sys
from itertools import cycle
from pathlib import Path

from lorb.errors import LorbError
from lorb.formats import read_nbest_lists
from lorb_client import AioClient


async def call_until(stop, target, lists, num_callers):
    """Calls until `stop` exists. Returns the number of answered calls and the errors of the others."""
    answered, failures, drawn = 0, [], cycle(lists)

    async def caller(client):
        nonlocal answered
        while not stop.exists():
            try:
                await client.rescore(next(drawn))
                answered += 1
            except LorbError as error:
                failures.append(f"{type(error).__name__}: {error}")

    async with AioClient(target, timeout_seconds=120) as client:
        await asyncio.gather(*(caller(client) for _ in range(num_callers)))
    return answered, failures


if __name__ == "__main__":
    target, lists, num_callers, stop = sys.argv[1:]
    answered, failures = asyncio.run(call_until(Path(stop), target, read_nbest_lists([Path(lists)]), int(num_callers)))
    sys.stdout.write(json.dumps({"answered": answered, "failures": failures}))
