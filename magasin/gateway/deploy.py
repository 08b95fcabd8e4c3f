"""Who carries out an order: the system that runs on this machine, or Docker Compose?"""

import asyncio
import os

from api.keys import SigningKey, UnusableKeyError, key_of, parse
from infra.settings import Settings
from magasin import house, state
from magasin.gateway import deployed, orders
from magasin.gateway.change import Deployment
from magasin.gateway.compose import Compose, ComposeFailed, program
from magasin.gateway.orders import NotDeployed, Order

FOLDER, USUAL_FOLDER = "MAGASIN_SECRETS", "compose/secrets"
"""Where docker-compose.yml looks for the secrets, too."""
KEY = "jwt_private_key"
HOW_TO_START = "Start it with a gateway: make run INSTANCES=2. Or, with Docker: make secrets, then the same command again."


def deploy(order: Order, settings: Settings) -> None:
    """Have the order carried out, and return when it was. Raises BadPlan or NotDeployed."""
    home = house.home_of(settings)
    try:
        children = state.running(home).children
    except state.NotRunningError:
        _by_compose(order, settings)
        return
    if "gateway" not in children:
        raise NotDeployed("what runs here has no gateway. Start it with one: make run INSTANCES=2")
    orders.give(home, order)


def write(order: Order, settings: Settings) -> None:
    """Only write Kong's file and that of the instances, and start nothing. Raises BadPlan or NotDeployed."""
    plan = order.plan()
    deployed.put(house.ROOT / deployed.KONG_FILE, deployed.kong_text(plan, deployed.public_pem(_key(settings))))
    deployed.put_instances(house.ROOT, plan.names())


def _by_compose(order: Order, settings: Settings) -> None:
    command = program()
    if command is None or not (house.ROOT / deployed.BASE_FILE).exists():
        raise NotDeployed(f"nothing is running here. {HOW_TO_START}")
    try:
        asyncio.run(_changed(order, Compose(command, house.ROOT, deployed.public_pem(_key(settings)))))
    except ComposeFailed as error:
        raise NotDeployed(f"Docker Compose says:\n{error}") from error


async def _changed(order: Order, ground: Compose) -> None:
    keep = order.replace and not order.services
    plan = deployed.plan_of((house.ROOT / deployed.KONG_FILE).read_text(encoding="utf-8")) if keep else order.plan()
    deployment = Deployment(ground, ground.running)
    await deployment.change(plan)
    if order.replace:
        await deployment.replace(plan)


def _key(settings: Settings) -> SigningKey:
    """The key of the containers: what the environment names, else their secret. Only its public half leaves this process."""
    try:
        if settings.jwt_private_key or settings.jwt_private_key_path:
            return key_of(settings)
        return parse((house.ROOT / os.environ.get(FOLDER, USUAL_FOLDER) / KEY).read_bytes())
    except (OSError, UnusableKeyError) as error:
        raise NotDeployed(f"there is no key that signs tokens ({error}). Make one: make secrets") from error
