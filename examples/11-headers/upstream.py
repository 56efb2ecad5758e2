"""A provider that answers with the headers it was sent."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import msgspec


class Upstream(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.tell({"object": "list", "data": [{"id": "mirror", "object": "model"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        seen = sorted(f"{name}: {value}" for name, value in self.headers.items() if name.startswith("x-"))
        message = {"role": "assistant", "content": "\n".join(seen)}
        self.tell({"object": "chat.completion", "choices": [{"index": 0, "message": message}]})

    def tell(self, answer: object) -> None:
        body = msgspec.json.encode(answer)
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8003), Upstream).serve_forever()
