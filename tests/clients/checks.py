"""What the client programs have in common: named checks, and their results as one JSON document."""

import asyncio
import inspect
import json
import sys
import traceback

_checks = []


def check(work):
    """The function's first line of documentation is the name of the check."""
    _checks.append(work)
    return work


def main():
    """Runs every check against the server at the URL in the first argument; what went wrong stands beside its name."""
    results = {}
    for work in _checks:
        try:
            outcome = work(sys.argv[1])
            if inspect.isawaitable(outcome):
                asyncio.run(outcome)
            problem = None
        except Exception:
            problem = traceback.format_exc(limit=-3)
        results[work.__doc__] = problem
    print(json.dumps(results))


def raises(kind, text, work):
    try:
        work()
    except kind as error:
        assert text in str(error), str(error)
        return
    raise AssertionError(f"did not raise {kind.__name__}")
