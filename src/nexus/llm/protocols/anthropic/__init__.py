"""The Anthropic Messages protocol.

https://platform.claude.com/docs/en/api/overview
"""
