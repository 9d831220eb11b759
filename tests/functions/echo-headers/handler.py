"""Shows which headers a function gets to see, and where it runs."""
import socket

from flask import request


def handle(req):
    """Answers with the request's headers and the container's name, to pages from anywhere too."""
    seen = {**request.headers, "Hostname": socket.gethostname()}
    return seen, 200, {"Access-Control-Allow-Origin": "*"}
