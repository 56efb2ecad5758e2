"""An issuer of tokens for this machine and this example: whoever asks gets one. Never run it for others."""

import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey

key = ECKey.generate_key("P-256", {"kid": "example"})


class Issuer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        issuer = "http://" + self.headers["host"]
        claims = {"iss": issuer, "aud": "nexus", "sub": "alice", "groups": ["pro"], "exp": time.time() + 600}
        keys = msgspec.json.encode({"keys": [key.as_dict(private=False)]})
        token = jwt.encode({"alg": "ES256", "kid": "example"}, claims, key)
        body = keys if self.path == "/jwks" else token.encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8001), Issuer).serve_forever()
