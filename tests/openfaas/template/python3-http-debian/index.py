"""Serves the function's handler over HTTP, for the watchdog: the handler is given the whole request."""
import os

from flask import Flask, Response, jsonify, request
from waitress import serve

from function import handler

app = Flask(__name__)
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class Event:
    """A request, as the handler sees it."""

    def __init__(self):
        self.body = request.get_data()
        self.headers = request.headers
        self.method = request.method
        self.query = request.args
        self.path = request.path


class Context:
    """Where the handler runs."""

    def __init__(self):
        self.hostname = os.getenv("HOSTNAME", "localhost")


def answer(result):
    """The response that a handler's result stands for."""
    if result is None:
        return Response(status=200)
    if not isinstance(result, dict):
        return result
    body = result.get("body", "")
    if isinstance(body, dict):
        body = jsonify(body)
    elif not isinstance(body, bytes):
        body = str(body)
    return body, result.get("statusCode", 200), result.get("headers", {})


@app.route("/", defaults={"path": ""}, methods=METHODS)
@app.route("/<path:path>", methods=METHODS)
def call(path):
    """Hands the request to the handler."""
    return answer(handler.handle(Event(), Context()))


if __name__ == "__main__":
    serve(app, host="127.0.0.1", port=5000)
