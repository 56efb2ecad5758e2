"""Probabilities of tokens, in the form all our protocols have them: OpenAI's.

https://ai.google.dev/api/generate-content#LogprobsResult
"""

from nexus.llm.canonical import Json
from nexus.llm.protocols.google.answer import Logprobs, Token


def read_logprobs(result: Logprobs) -> list[Json]:
    """Read the tokens of an answer."""
    tops = [step.candidates for step in result.top_candidates]
    tops += [[]] * (len(result.chosen_candidates) - len(tops))
    return [
        {**_read_token(chosen), "top_logprobs": [_read_token(one) for one in top]}
        for chosen, top in zip(result.chosen_candidates, tops, strict=False)
    ]


def _read_token(token: Token) -> dict[str, Json]:
    return {"token": token.token, "logprob": token.log_probability, "bytes": list(token.token.encode())}
