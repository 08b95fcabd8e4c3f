"""How fast is the route alone as FastAPI serves it, with nothing behind it?

Through FastAPI's own layers and router, without the shortcut by which the API calls its hottest route.
"""

from dataclasses import replace

from fastapi import FastAPI

from bench.baselines import floor_shortcut


def create_app() -> FastAPI:
    """Validates, checks the token, answers 202."""
    app = floor_shortcut.create_app()
    for layer in app.user_middleware:
        if "shortcut" in layer.kwargs:
            layer.kwargs["shortcut"] = replace(layer.kwargs["shortcut"], method="")
    return app
