"""What the file may say and this version does not do: warned of, since it endangers nobody.

Building a feature ends with taking its line out of here.
"""

from collections.abc import Iterator

from nexus.config.finding import Finding
from nexus.config.root import Config


def warnings(config: Config) -> Iterator[Finding]:
    """Tell of what has no effect yet."""
    if config.telemetry is not None:
        yield Finding(("telemetry",), "telemetry is not available in this version; nothing is exported")
