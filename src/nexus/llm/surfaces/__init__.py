"""What clients find: all endpoints below one base path, however many protocols they are spoken in."""

from nexus.llm.protocols.base import Surface
from nexus.llm.surfaces.anthropic import Anthropic
from nexus.llm.surfaces.openai import OpenAI

OPENAI: Surface = OpenAI()
ANTHROPIC: Surface = Anthropic()
