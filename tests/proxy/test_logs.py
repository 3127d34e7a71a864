from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import logging, structlog
from proxy import logs
logs.configure("info", "json")
structlog.get_logger().info("ours", answer=42)
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("a.library").exception("theirs %s", "failed")
    logging.getLogger("asyncpg.pool").warning("trying %s", "again", exc_info=True)
logging.getLogger("a.library").info("not worth a line")
"""


def test_libraries_log_in_the_same_form_a_line_each() -> None:
    shown = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    ours, theirs, pool = (json.loads(line) for line in shown.stderr.splitlines())
    assert (ours["event"], ours["answer"]) == ("ours", 42)
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("theirs failed", "a.library", "error")
    assert "ZeroDivisionError" in theirs["exception"]
    assert pool["event"] == "trying again (ZeroDivisionError: division by zero)"
    assert "exception" not in pool


FAILING = """
import structlog
from proxy import logs
logs.configure("info", "console")
token = "".join(reversed("2retnuh"))
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger().exception("failed")
"""


def test_a_traceback_shows_no_local_variables() -> None:
    shown = subprocess.run([sys.executable, "-c", FAILING], capture_output=True, text=True, check=True)
    assert "ZeroDivisionError" in shown.stderr
    assert "hunter2" not in shown.stderr
