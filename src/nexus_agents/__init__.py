"""Nexus agents: orchestrate, vote, remember and look things up with any OpenAI-compatible gateway or OpenCode behind it."""
