"""What is the generator told, and what does it answer?

One JSON document on its standard input, one JSON object a line on its standard output: ``begin`` and ``end`` when the measured stretch
begins and ends, then ``done`` with the figures.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Progress(BaseModel):
    """How to ask the database for the number of sales that have come through, and when the last one is everywhere.

    `bound` is the most that may be on their way.
    """

    database_url: str
    query: str
    bound: int
    everywhere: str


class Arrivals(BaseModel):
    """Post at this rate, whatever comes back (open loop), and hear from the broker when each sale is in the reports."""

    per_second: float
    amqp_url: str


class Plan(BaseModel):
    """One measurement. Without `arrivals` every connection posts again as soon as it has an answer (closed loop)."""

    model_config = ConfigDict(frozen=True)

    host: str
    port: int
    tokens: dict[str, str]
    profile: Literal["hot", "spread"]
    seed: int
    lines: int
    batch: int
    connections: int
    warmup_seconds: float
    window_seconds: float
    most_per_second: int
    progress: Progress | None = None
    arrivals: Arrivals | None = None


class Quantiles(BaseModel):
    """Milliseconds."""

    p50_ms: float
    p99_ms: float


class Outcome(BaseModel):
    """What came of a plan. `sent` sales were posted and every one was accepted; `window_sales` came through in the measured stretch."""

    sent: int
    refused: dict[int, int]
    window_sales: int
    window_accepted: int
    window_seconds: float
    on_their_way: int
    drain_seconds: float
    accepted: Quantiles | None = None
    visible: Quantiles | None = None


class Line(BaseModel):
    """One line of the generator's output."""

    what: Literal["begin", "end", "done"]
    outcome: Outcome | None = None
