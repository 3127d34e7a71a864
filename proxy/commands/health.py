"""The image's health check: can the proxy in this container serve shoppers? As small as can be: it runs often."""

from __future__ import annotations

import os
import ssl
import sys
import urllib.request

TIMEOUT_S = 4


def is_ready() -> bool:
    """By https where the proxy serves that itself; its certificate is for another name than this one."""
    scheme = "https" if os.environ.get("TLS_CERT") else "http"
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    url = f"{scheme}://127.0.0.1:{os.environ['PORT']}/readyz"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S, context=anybody):  # noqa: S310 - one of ours
            return True
    except OSError as error:
        print(f"{url}: {error}", file=sys.stderr)
        return False


if __name__ == "__main__":
    sys.exit(not is_ready())
