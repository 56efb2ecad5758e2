"""The mock provider of the benchmark: canned answers from one event loop, as a whole, as a stream at once, or event by event.

A program: `upstream.py PORT`. A request with `"user":"paced"` is streamed one event a millisecond, each a write of its own;
`GET /streaming` tells how many of those are under way, `GET /jwks` gives the key set in BENCH_JWKS.
"""

import asyncio
import os
import sys

import uvloop

MODELS = b'{"object":"list","data":[{"id":"gpt-4o","object":"model","created":1,"owned_by":"openai"}]}'
COMPLETION = (
    b'{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion","created":1741569952,"model":"gpt-4o-2024-08-06",'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"'
    + b"Hello! How can I help you today? "
    * 12
    + b'",'
    b'"refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":'
    b'10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":'
    b'{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},'
    b'"service_tier":"default","system_fingerprint":"fp_44709d6fcb"}'
)
EVENTS = [
    b'data: {"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion.chunk","created":1741569952,"model":'
    b'"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,"delta":'
    b'{"content":" word%d"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"Zx81kQ"}\n\n'
    % number
    for number in range(100)
]
DONE = b"data: [DONE]\n\n"
PACE = 0.001

_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_1\r\ncontent-length: %d\r\n\r\n%s"
_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)


def chunk(data: bytes) -> bytes:
    """Frame data for `transfer-encoding: chunked`."""
    return b"%x\r\n%s\r\n" % (len(data), data)


WHOLE = _JSON % (len(COMPLETION), COMPLETION)
LISTED = _JSON % (len(MODELS), MODELS)
KEYS = os.environ.get("BENCH_JWKS", "{}").encode()
_CHUNKS = [*map(chunk, EVENTS), chunk(DONE) + b"0\r\n\r\n"]
AT_ONCE = _STREAM + b"".join(_CHUNKS)


class Connection(asyncio.Protocol):
    """Reads requests by their content length and answers each."""

    streaming = 0
    """Paced streams under way, on all connections."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._pacing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's are not subclasses

    def connection_lost(self, exc: Exception | None) -> None:
        if self._pacing is not None:
            self._pacing.cancel()
            self._pacing = None
            Connection.streaming -= 1

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n") + 4
        if end == 3:
            return
        head = bytes(self._received[:end]).lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 : head.index(b"\r", at)]) if at >= 0 else 0
        if len(self._received) < end + length:
            return
        body = bytes(self._received[end : end + length])
        del self._received[: end + length]
        self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        assert self._transport is not None
        if head.startswith(b"get /streaming"):
            count = b"%d" % Connection.streaming
            self._transport.write(_JSON % (len(count), count))
        elif head.startswith(b"get /jwks"):
            self._transport.write(_JSON % (len(KEYS), KEYS))
        elif head.startswith(b"get"):
            self._transport.write(LISTED)
        elif b'"stream":true' not in body:
            self._transport.write(WHOLE)
        elif b'"user":"paced"' in body:
            Connection.streaming += 1
            self._transport.write(_STREAM)
            self._pace(self._transport, 0, asyncio.get_running_loop())
        else:
            self._transport.write(AT_ONCE)

    def _pace(self, transport: asyncio.Transport, number: int, loop: asyncio.AbstractEventLoop) -> None:
        transport.write(_CHUNKS[number])
        if number + 1 < len(_CHUNKS):
            self._pacing = loop.call_later(PACE, self._pace, transport, number + 1, loop)
        else:
            self._pacing = None
            Connection.streaming -= 1


async def serve(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
