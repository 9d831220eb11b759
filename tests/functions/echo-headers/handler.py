"""Shows which headers a function gets to see."""
from flask import request


def handle(req):
    """Answers with the request's headers, to pages from anywhere too."""
    return dict(request.headers), 200, {"Access-Control-Allow-Origin": "*"}
