"""Calls replicas without pause for rolling_upgrade.py, with the client of the release on PYTHONPATH.

Arguments: target, file of lists, domain, file that names the phase ("end" stops), output file. Writes one JSON line a
call. Imports nothing of the benchmarks, because it runs with the packages of either release.
"""

import json
import sys
from pathlib import Path

from lorb import RescoreOptions
from lorb.formats import read_nbest_lists
from lorb_client import Client

NUM_LISTS = 40
TIMEOUT_SECONDS = 20.0


def main() -> None:
    target, lists, domain, phase, output = sys.argv[1:]
    nbest_lists = read_nbest_lists([Path(lists)])[:NUM_LISTS]
    options = RescoreOptions(domain=domain)
    with Client(target, timeout_seconds=TIMEOUT_SECONDS) as client, open(output, "w", encoding="utf-8") as out:
        number = 0
        while (name := Path(phase).read_text(encoding="utf-8")) != "end":
            line: dict[str, object] = {"phase": name, "list": number % NUM_LISTS}
            try:
                answer = client.rescore(nbest_lists[number % NUM_LISTS], options)
            except Exception as error:
                line["error"] = repr(error)
            else:
                scores = [each.combined_score for each in sorted(answer.hypotheses, key=lambda each: each.index)]
                line |= {"reason": answer.fallback_reason and answer.fallback_reason.value}
                line |= {"outcome": answer.outcome.value, "version": answer.adapter.version, "scores": scores}
            out.write(json.dumps(line) + "\n")
            number += 1


if __name__ == "__main__":
    main()
