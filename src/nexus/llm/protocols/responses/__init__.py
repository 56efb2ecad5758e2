"""The OpenAI Responses protocol: items in, items out, and streams of typed events.

https://platform.openai.com/docs/api-reference/responses
"""

NAME = "responses"
