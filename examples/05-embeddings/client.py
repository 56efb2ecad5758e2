"""Embed three words with the models of two vendors, and compare them."""

import sys
from math import hypot

from openai import OpenAI

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
words = ["cat", "kitten", "rocket"]


def likeness(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (hypot(*a) * hypot(*b))


with OpenAI(base_url=f"{url}/llm/openai/v1", api_key="not-used") as client:
    for model in ("openai/text-embedding-3-small", "google/gemini-embedding-001"):
        cat, *others = (one.embedding for one in client.embeddings.create(model=model, input=words).data)
        for word, vector in zip(words[1:], others, strict=True):
            print(f"{model}: cat ~ {word} {likeness(cat, vector):.2f}")
