"""Serves the function's handler over HTTP, for the watchdog."""
from flask import Flask, request
from waitress import serve

from function import handler

app = Flask(__name__)
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@app.route("/", defaults={"path": ""}, methods=METHODS)
@app.route("/<path:path>", methods=METHODS)
def call(path):
    """Hands the body to the handler, as text."""
    body = request.get_data()
    return handler.handle(body.decode("utf-8", "replace"))


if __name__ == "__main__":
    serve(app, host="127.0.0.1", port=5000)
