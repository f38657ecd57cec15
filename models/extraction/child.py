"""`python -m models.extraction.child`: opens one untrusted file in a process that may die for it.

Reads one `exchange.Request` line from standard input and writes the outcome to `output`. Prints nothing. Exit
code 0 means that the outcome is written whole.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from domain.jobs import Failure
from models.extraction import extract
from models.extraction.exchange import Request, dump_outcome


def main() -> int:
    # The parsers are loaded before the limits hold, so that these are all the file's.
    import_module("models.extraction.pdf")
    request = Request.model_validate_json(sys.stdin.buffer.readline())
    request.limits.apply()
    try:
        content = dump_outcome(extract(request.path, max_pages=request.max_pages, parsers=request.parsers))
    except MemoryError:
        content = dump_outcome(Failure("out_of_memory", "Reading the file took too much memory."))
    unfinished = request.output.with_name(request.output.name + ".part")
    unfinished.write_bytes(content)
    unfinished.replace(request.output)
    return 0


if __name__ == "__main__":
    code = main()
    # Parsers may hang or crash while the interpreter takes them down; the outcome is safe already.
    sys.stdout.flush()
    os._exit(code)
