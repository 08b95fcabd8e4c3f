"""What does RabbitMQ load at its start: the topology, the users and their rights, with passwords from files or without?"""

import json
from pathlib import Path

from infra.broker_users import PASSWORD_FILES, definitions


class NoPasswordsError(Exception):
    """A folder of secrets holds no password of any broker user."""


def written(folder: Path | None = None) -> str:
    """The content of ``definitions.json``; without a folder of secrets, as it is committed: nobody can sign in.

    Raises NoPasswordsError, and OSError where a file can't be read.
    """
    return json.dumps(definitions({} if folder is None else passwords_in(folder)), indent=2) + "\n"


def passwords_in(folder: Path) -> dict[str, str]:
    """The passwords by user, of those that have a file. Raises NoPasswordsError when none has."""
    found = {user: (folder / name).read_text(encoding="utf-8").strip() for user, name in PASSWORD_FILES.items() if (folder / name).exists()}
    if not found:
        message = f"{folder} holds none of {', '.join(PASSWORD_FILES.values())}"
        raise NoPasswordsError(message)
    return found
