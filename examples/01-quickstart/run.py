"""Start Nexus with the small local model, or with an echo of it where the model is not installed for this machine."""

import os
import sys
from pathlib import Path

from nexus.llm.providers.local import find_model, server_is_installed

here = Path(__file__).parent
file = here / "nexus.toml"
if not server_is_installed() or find_model() is None:
    print(
        "The small model is not installed for this machine; a model that echoes stands in for it.", flush=True
    )
    file = here / "echo.toml"

# the MCP server of the file is a program too, and is to find the same Python
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
os.execv(sys.executable, [sys.executable, "-m", "nexus", "--config", str(file), *sys.argv[1:]])
