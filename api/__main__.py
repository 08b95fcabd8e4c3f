"""How does the API run as a process, and how does it stop without cutting anybody off? ``python -m api``."""

import signal
import socket
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from infra import garbage
from infra.settings import Settings, settings

GRACEFUL_SECONDS: Final = 10
"""What still runs then (a client that reads slowly) is cut."""
KEEP_ALIVE_SECONDS: Final = 75
"""Longer than a gateway keeps an idle connection (60 s): the side that reuses connections must be the one that closes them."""


class Server(uvicorn.Server):
    """Ends what would wait for ever before it waits for the rest, and exits with 0 when it was told to stop."""

    def __init__(self, app: FastAPI, config: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=config.host,
                port=config.port,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=GRACEFUL_SECONDS,
            )
        )
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Live streams end (browsers come back with their last id), those who wait for an outcome get their 202, all others finish."""
        self._app.state.live.close()
        self._app.state.intake.hurry()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop. Unlike the base class, don't die of the same signal afterwards: a stop that went well is no failure."""
        del frame
        self.force_exit = self.force_exit or (self.should_exit and sig == signal.SIGINT)
        self.should_exit = True


def main() -> None:
    """Serve until told to stop."""
    config = settings()
    server = Server(create_app(config), config)
    garbage.settle()
    server.run()


if __name__ == "__main__":
    main()
