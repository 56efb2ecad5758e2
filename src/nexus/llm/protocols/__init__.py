"""What the bytes mean: one folder a protocol, and the surgery on top-level fields that all of them share."""

from nexus.llm.protocols.anthropic.inbound import Anthropic
from nexus.llm.protocols.base import Inbound
from nexus.llm.protocols.openai.inbound import OpenAI

OPENAI: Inbound = OpenAI()
ANTHROPIC: Inbound = Anthropic()
