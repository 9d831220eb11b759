"""What is for sale, and what all of it costs: a function without a template, with a server of its own."""
import http.server
import json

import prices
from shop import catalogue


class Server(http.server.BaseHTTPRequestHandler):
    """Answers any request."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        goods = catalogue.load()
        body = json.dumps({"goods": sorted(goods), "total": prices.total(goods)}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("", 8080), Server).serve_forever()
