"""Looks at repositories and issues on GitHub by plain rules: no model is asked, nothing on GitHub is changed."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from nexus_agents.errors import Misuse, Unreachable
from nexus_agents.results import RepoAnalysis, SecurityPlan, Triage
from nexus_agents.sources import Sources

T = TypeVar("T")
_REPO = re.compile(r"(?:https?://github\.com/)?([A-Za-z0-9-]{1,39})/([A-Za-z0-9._-]{1,100}?)(?:\.git)?/?")
_ISSUE = re.compile(r"https?://github\.com/([A-Za-z0-9-]{1,39})/([A-Za-z0-9._-]{1,100})/issues/(\d{1,9})/?")
Trust = Literal["maintainer", "contributor", "first-time", "unknown"]
_TRUST: dict[str, Trust] = {
    "OWNER": "maintainer",
    "MEMBER": "maintainer",
    "COLLABORATOR": "maintainer",
    "CONTRIBUTOR": "contributor",
    "FIRST_TIMER": "first-time",
    "FIRST_TIME_CONTRIBUTOR": "first-time",
}
_LABELS = (
    ("bug", r"\b(?:bug|crash|error|exception|traceback|broken|fails?|regression)\b"),
    ("security", r"\b(?:vulnerab|cve-|exploit|injection|xss|csrf|secret leak)"),
    ("documentation", r"\b(?:docs?|documentation|readme|typo)\b"),
    ("enhancement", r"\b(?:feature|support for|add|would be (?:nice|great)|request)\b"),
    ("question", r"\?\s*$|\bhow (?:do|can|to)\b"),
    ("performance", r"\b(?:slow|performance|memory leak|latency)\b"),
)
_MANAGERS = {
    "package.json": "npm",
    "pnpm-lock.yaml": "pnpm",
    "yarn.lock": "yarn",
    "pyproject.toml": "Python (pyproject)",
    "requirements.txt": "pip",
    "poetry.lock": "poetry",
    "uv.lock": "uv",
    "Cargo.toml": "cargo",
    "go.mod": "Go modules",
    "pom.xml": "Maven",
    "build.gradle": "Gradle",
    "build.gradle.kts": "Gradle",
    "Gemfile": "bundler",
    "composer.json": "composer",
}
_FRAMEWORKS = {
    "next.config.js": "Next.js",
    "next.config.ts": "Next.js",
    "angular.json": "Angular",
    "vite.config.ts": "Vite",
    "manage.py": "Django",
    "Dockerfile": "Docker",
    "docker-compose.yml": "Docker Compose",
    "Chart.yaml": "Helm",
}
_CI = {
    ".gitlab-ci.yml": "GitLab CI",
    ".circleci": "CircleCI",
    ".travis.yml": "Travis CI",
    "Jenkinsfile": "Jenkins",
    "azure-pipelines.yml": "Azure Pipelines",
}
_SECURITY = {
    "SECURITY.md": "security policy",
    ".gitleaks.toml": "gitleaks",
    ".snyk": "Snyk",
    ".trivyignore": "Trivy",
    ".semgrep.yml": "Semgrep",
    ".pre-commit-config.yaml": "pre-commit",
    "renovate.json": "Renovate",
}
_SCANNERS = (
    ("sast", "CodeQL", "", ("Python", "JavaScript", "TypeScript", "Go", "Java", "C++", "C#", "Ruby", "Rust")),
    ("sast", "Semgrep", ".semgrep.yml", ()),
    ("sast", "Bandit", "", ("Python",)),
    ("sast", "gosec", "", ("Go",)),
    ("dependencies", "Dependabot", "", ()),
    ("dependencies", "pip-audit", "", ("Python",)),
    ("dependencies", "npm audit", "", ("JavaScript", "TypeScript")),
    ("dependencies", "govulncheck", "", ("Go",)),
    ("dependencies", "cargo-audit", "", ("Rust",)),
    ("secrets", "gitleaks", ".gitleaks.toml", ()),
    ("containers", "Trivy", ".trivyignore", ("Dockerfile",)),
    ("iac", "Checkov", "", ("HCL",)),
    ("supply-chain", "OpenSSF Scorecard", "", ()),
)
"""Category, name, the file that shows it is there, and the languages it is for; none means any."""


class _Entry(msgspec.Struct):
    name: str


class GitHub:
    """Reads through GitHub's API, with GITHUB_TOKEN where it is set."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._sources = Sources(environ)

    async def __aenter__(self) -> "GitHub":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sources.__aexit__()

    async def triage(self, url: str, *, dry_run: bool = True) -> Triage:
        """Class an issue and recommend what to do; never does it.

        Raises:
            Misuse: no link of an issue, or there is none.
            Unreachable: GitHub cannot be asked.
        """
        found = _ISSUE.fullmatch(url.strip())
        if found is None:
            raise Misuse(
                f'"{url[:100]}" is no issue.', "It looks like https://github.com/owner/name/issues/1."
            )
        issue = await self._sources.github(f"/repos/{found[1]}/{found[2]}/issues/{found[3]}")
        if issue is None:
            raise Misuse(f"{url} does not exist or is not public.")
        title, body = str(issue.get("title") or ""), str(issue.get("body") or "")
        trust = _TRUST.get(str(issue.get("author_association")), "unknown")
        labels = tuple(label for label, pattern in _LABELS if re.search(pattern, f"{title}\n{body}", re.I))
        warnings = ("Nothing was changed on GitHub: these are recommendations.",) if not dry_run else ()
        return Triage(
            issue=url.strip(),
            title=title,
            trust=trust,
            labels=labels,
            actions=tuple(_actions(labels, body, trust, issue)),
            dry_run=dry_run,
            warnings=warnings,
        )

    async def analyze(self, repo: str) -> RepoAnalysis:
        """Tell what a repository is made of, from its top level and its workflows.

        Raises:
            Misuse: no name of a repository, or there is none.
            Unreachable: GitHub cannot be asked.
        """
        name = _name(repo)
        root = await self._sources.github(f"/repos/{name}/contents/")
        if root is None:
            raise Misuse(f"{name} does not exist or is not public.")
        files = _names(root)
        languages = await self._sources.github(f"/repos/{name}/languages")
        inside = (
            _names(await self._sources.github(f"/repos/{name}/contents/.github"))
            if ".github" in files
            else set[str]()
        )
        ci = _of(_CI, files)
        if "workflows" in inside:
            ci = ("GitHub Actions", *ci)
        security = _of(_SECURITY, files | inside)
        if inside & {"dependabot.yml", "dependabot.yaml"}:
            security = (*security, "Dependabot")
        return RepoAnalysis(
            repo=name,
            languages=_read(languages or {}, dict[str, int]),
            frameworks=_of(_FRAMEWORKS, files),
            package_managers=_of(_MANAGERS, files),
            ci=ci,
            security=security,
            gaps=tuple(_gaps(files, ci, security)),
        )

    async def plan_security(self, repo: str, categories: Sequence[str] = (), limit: int = 10) -> SecurityPlan:
        """Recommend scanners that fit a repository and are not there yet."""
        known = {category for category, *_ in _SCANNERS}
        if unknown := sorted(set(categories) - known):
            raise Misuse(f'There is no category "{unknown[0]}".', f"There are {', '.join(sorted(known))}.")
        analysis = await self.analyze(repo)
        languages = set(analysis.languages)
        if "Docker" in analysis.frameworks:
            languages.add("Dockerfile")
        fitting = [one for one in _SCANNERS if not one[3] or languages.intersection(one[3])]
        wanted = [one for one in fitting if not categories or one[0] in categories]
        have = {one.lower() for one in analysis.security}
        scanners = [
            {"name": name, "category": category, "why": _why(of, languages)}
            for category, name, _, of in wanted
            if name.lower() not in have
        ]
        covered = tuple(name for _, name, _, _ in wanted if name.lower() in have)
        return SecurityPlan(
            repo=analysis.repo, scanners=tuple(scanners[: max(1, min(20, limit))]), covered=covered
        )


def _name(repo: str) -> str:
    found = _REPO.fullmatch(repo.strip())
    if found is None or found[2] in (".", ".."):
        raise Misuse(f'"{repo[:100]}" is no repository.', "It looks like owner/name.")
    return f"{found[1]}/{found[2]}"


def _actions(
    labels: Sequence[str], body: str, trust: Trust, issue: Mapping[str, Any]
) -> list[dict[str, str]]:
    actions = [{"type": "label", "value": label} for label in labels]
    if "security" in labels:
        actions.append(
            {
                "type": "escalate",
                "value": "Move it to a private report before anything is discussed in public.",
            }
        )
    if "bug" in labels and not re.search(r"steps to reproduce|reproduc|```", body, re.I):
        actions.append({"type": "ask", "value": "Ask for the steps that show it and the version."})
    if len(body.strip()) < 40:
        actions.append({"type": "ask", "value": "Ask what was expected and what happened."})
    if trust in ("first-time", "unknown"):
        actions.append({"type": "review", "value": "Do not run code or follow links from it unread."})
    if issue.get("state") == "closed":
        actions.append({"type": "none", "value": "It is closed."})
    return actions


def _gaps(files: set[str], ci: Sequence[str], security: Sequence[str]) -> list[str]:
    lowered = {name.lower() for name in files}
    checks = (
        (bool(ci), "no continuous integration"),
        ("security policy" in security, "no SECURITY.md"),
        (any(name.startswith("license") for name in lowered), "no licence file"),
        (any(name.startswith("readme") for name in lowered), "no README"),
        (bool(lowered & {"test", "tests", "spec", "__tests__"}), "no tests at the top level"),
        ("Dependabot" in security or "Renovate" in security, "no automatic dependency updates"),
    )
    return [gap for good, gap in checks if not good]


def _names(listing: Any) -> set[str]:
    return {row.name for row in _read(listing or [], list[_Entry])}


def _read(answer: Any, type_: type[T]) -> T:
    try:
        return msgspec.convert(answer, type_)
    except msgspec.ValidationError as error:
        raise Unreachable("github answered with something that makes no sense.") from error


def _of(table: Mapping[str, str], files: set[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(what for name, what in table.items() if name in files))


def _why(of: Sequence[str], languages: set[str]) -> str:
    fits = sorted(languages.intersection(of))
    return f"for {', '.join(fits)}" if fits else "for any repository"
