"""The child of the `local` provider: llama.cpp's own HTTP server on one GGUF file.

A program, not a module to import; it imports nothing of Nexus. It says `LISTENING http://host:port` on standard output once
it is up, and ends with its parent: when standard input closes. The key that requests must carry comes in `LLAMA_API_KEY`.
"""

import argparse
import importlib
import os
import signal
import sys
import threading
from typing import Any

xllamacpp: Any = importlib.import_module("xllamacpp")  # a binding without types


def main() -> None:
    """Serve until the parent goes away."""
    options = _options()
    # the server has no state to save, and ending it in good order would wait for what is being generated
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        server = xllamacpp.Server(_parameters(options))
    except RuntimeError as error:
        sys.exit(str(error))
    sys.stdout.write(f"LISTENING {server.listening_address}\n")
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nobody reads the pipe any more: it must not fill
    threading.Event().wait()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--alias", required=True)
    parser.add_argument("--context", type=int, required=True)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--template")
    return parser.parse_args()


def _parameters(options: argparse.Namespace) -> Any:
    given = xllamacpp.CommonParams()
    given.model.path = options.model
    given.model_alias = {options.alias}
    given.hostnames = ["127.0.0.1"]
    given.port = 0
    given.api_keys = [os.environ["LLAMA_API_KEY"]]
    given.n_ctx = options.context
    given.n_parallel = 2
    given.kv_unified = True
    given.fit_params = False
    given.cache_ram_mib = 0
    given.ui = False
    if options.threads:
        given.cpuparams.n_threads = options.threads
    if options.template:
        given.chat_template = options.template
        given.sampling.temp = 0.0
    return given


def _leave(*_: object) -> None:
    os._exit(0)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
