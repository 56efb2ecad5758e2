"""The settings of the MCP half."""

from typing import Any

import pytest

from nexus import config
from nexus.errors import ConfigError


def _load(text: str) -> Any:
    return config.loads(text, {}).config.mcp


SERVER = '[mcp.servers.a]\ncmd = ["x"]\n'


def test_defaults() -> None:
    mcp = _load(SERVER)
    assert (mcp.mode, mcp.prefix, mcp.sessions, mcp.views) == ("search", True, False, {})
    server = mcp.servers["a"]
    assert (server.startup_timeout, server.request_timeout, server.inherit_env) == (30, 300, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[mcp.servers.a__b]\ncmd = ["x"]\n', "two underscores"),
        ('[mcp.servers.""]\ncmd = ["x"]\n', "empty"),
        (f'{SERVER}[mcp.views."a/b"]\nservers = ["a"]\n', "part of its path"),
        (f'{SERVER}[mcp.views.v]\nservers = ["b"]\n', "not configured"),
        (f'[mcp]\nprefix = false\n{SERVER}[mcp.servers.b]\ncmd = ["x"]\n', "need the prefix"),
        (f'[mcp]\nmode = "all"\n{SERVER}', "mode"),
    ],
)
def test_mistakes_are_told(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _load(text)


def test_a_view_of_one_server_may_go_without_prefix() -> None:
    mcp = _load(
        f'{SERVER}[mcp.servers.b]\ncmd = ["x"]\n[mcp.views.v]\nservers = ["a"]\nprefix = false\nmode = "direct"\n'
    )
    assert mcp.views["v"].servers == ("a",)
