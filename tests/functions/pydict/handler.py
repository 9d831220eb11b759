"""A dictionary: a word in, its translation out."""
import json

SPANISH = {
    "bread": "pan",
    "cat": "gato",
    "day": "día",
    "dog": "perro",
    "earth": "tierra",
    "fire": "fuego",
    "friend": "amigo",
    "house": "casa",
    "moon": "luna",
    "night": "noche",
    "rain": "lluvia",
    "river": "río",
    "sea": "mar",
    "secret": "secreto",
    "sun": "sol",
    "tree": "árbol",
    "water": "agua",
    "wind": "viento",
}


def handle(req):
    """Expects JSON with a `word`; answers with its translation, or 404."""
    try:
        word = json.loads(req)["word"]
    except (ValueError, KeyError, TypeError):
        return {"error": 'expected JSON such as {"word": "night"}'}, 400
    translation = SPANISH.get(word)
    if translation is None:
        return {"error": f"no translation of {word!r}"}, 404
    return {"word": word, "translation": translation}
