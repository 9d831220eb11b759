"""Answers bit by bit, as server-sent events."""
import time

from flask import Response


def handle(req):
    """Tells as many events as the body says, ten a second."""
    def events(count):
        for number in range(count):
            yield f"data: event {number}\n\n"
            time.sleep(0.1)

    return Response(events(int(req)), mimetype="text/event-stream")
