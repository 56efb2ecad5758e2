"""The API that pets.json describes."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import msgspec

PETS = {"Rex": {"kind": "dog", "age": 4}, "Mia": {"kind": "cat", "age": 7}}


class Pets(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = list(PETS) if self.path == "/pets" else PETS.get(self.path.removeprefix("/pets/"))
        body = msgspec.json.encode(found or {"error": "no such pet"})
        self.send_response(200 if found else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8002), Pets).serve_forever()
