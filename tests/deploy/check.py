"""Have the tools of others read what is shipped to run Nexus: `make deploy-check`.

hadolint and kubernetes-validate come into build/deploy; helm is installed there from source by Go, unless there is one.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/nexus"
TOOLS = ROOT / "build/deploy"
HELM = "helm.sh/helm/v3/cmd/helm@v3.22.0"
VERSIONS = ("1.28", "1.31", "1.34")
EVERYTHING = (
    "autoscaling.enabled=true",
    "ingress.enabled=true",
    "metrics.enabled=true",
    "networkPolicy.enabled=true",
    "redis.existingSecret=nexus-redis",
)
EXPOSURE = 20
"""Most that `systemd-analyze security` may rate, in tenths; 0 is best, 100 worst."""


def run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(one) for one in command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def install() -> Path:
    """Install the tools; gives helm."""
    uv = ROOT / ".venv/bin/uv"
    if not (TOOLS / "bin/python").exists():
        run(uv, "venv", "--python", sys.executable, TOOLS)
    run(
        uv, "pip", "sync", "--require-hashes", "--only-binary", ":all:", "--python", TOOLS, "deploy/check.txt"
    )
    if found := shutil.which("helm"):
        return Path(found)
    if not (TOOLS / "bin/helm").exists():
        subprocess.run(["go", "install", HELM], env={**os.environ, "GOBIN": str(TOOLS / "bin")}, check=True)
    return TOOLS / "bin/helm"


def chart(helm: Path) -> None:
    """Lint the chart, render it plain and with everything, and hold that against the schemas of Kubernetes."""
    run(helm, "lint", "--strict", CHART)
    validate = TOOLS / "bin/kubernetes-validate"
    for sets in ((), EVERYTHING):
        given = [word for one in sets for word in ("--set", one)]
        for version in VERSIONS:
            rendered = run(helm, "template", "nexus", CHART, "--kube-version", version, *given)
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                file.write(rendered)
                file.flush()
                run(validate, "--strict", "-k", version, file.name)
            objects = rendered.count("\nkind: ")
            print(f"chart, {len(sets)} options on, Kubernetes {version}: {objects} objects are good")


def unit() -> None:
    """Check the unit of systemd, and that it stays closed."""
    if shutil.which("systemd-analyze") is None:
        print("unit: not checked, there is no systemd-analyze")
        return
    shipped = (ROOT / "deploy/systemd/nexus.service").read_text()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "nexus.service"
        file.write_text(shipped.replace("/opt/nexus/bin/nexus", "/bin/true"))
        run("systemd-analyze", "verify", file)
        rated = run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", file)
    print("unit: " + rated.strip().splitlines()[-1])


def main() -> None:
    helm = install()
    run(TOOLS / "bin/hadolint", "Dockerfile")
    print("Dockerfile: good")
    chart(helm)
    unit()


if __name__ == "__main__":
    main()
