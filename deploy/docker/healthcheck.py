"""Ask the gateway of this container whether it is alive, with Python alone; `NEXUS_HEALTH_URL` says where if not as usual."""

import os
import ssl
import sys
import urllib.request

TIMEOUT = 4.0


def url() -> str:
    """Give the address of the health check: the port it was told to listen on, on this machine."""
    port = os.environ.get("NEXUS_LISTEN_ADDRESS", ":8000").rpartition(":")[2]
    return os.environ.get("NEXUS_HEALTH_URL") or f"http://127.0.0.1:{port}/health"


def main() -> int:
    """Give 0 if it is alive, else say why not and give 1."""
    # the certificate is that of a name, not of this address; nobody but this container can answer here
    trusting = ssl._create_unverified_context()
    direct = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting)
    )
    try:
        with direct.open(url(), timeout=TIMEOUT) as answer:
            return 0 if answer.status == 200 else 1
    except OSError as error:
        sys.stderr.write(f"{url()}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
