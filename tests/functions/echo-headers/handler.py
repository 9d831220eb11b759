"""Shows which headers a function gets to see."""
from flask import request


def handle(req):
    """Answers with the request's headers."""
    return dict(request.headers)
