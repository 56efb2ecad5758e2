"""OpenCode: its configuration files, and the command line tool as a way to models."""

from nexus_agents.opencode.adapter import OpenCode

__all__ = ["OpenCode"]
