"""How fast is the route alone when it is called by our shortcut, past FastAPI's layers and router, with nothing behind it?"""

from fastapi import FastAPI

from bench.baselines.front import application
from schemas.envelope import Accepted


async def _take(_event: Accepted, _data: bytes) -> None:
    return


def create_app() -> FastAPI:
    """Validates, checks the token, answers 202."""
    return application(_take)
