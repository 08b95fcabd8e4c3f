"""Who is shown the way of a sale as spans of one trace? Nobody, unless a collector is named.

Then each process tells OpenTelemetry's collector (OTLP over HTTP) what it did for which trace. The library is loaded only then.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.spans import Spans


class Traces:
    """The spans of this process; off until `begin` is called with an address."""

    def __init__(self) -> None:
        self._spans: Spans | None = None

    @property
    def on(self) -> bool:
        """Whether anybody is told."""
        return self._spans is not None

    def begin(self, service: str, url: str | None) -> None:
        """Tell the collector at `url` from now on; without one, nobody. Called once, first thing in a process."""
        if url is not None:
            from infra.spans import Spans  # noqa: PLC0415 - nobody loads it who doesn't ask for it

            self._spans = Spans(service, url)

    def tell(  # noqa: PLR0913 - what a span has, each by its name
        self,
        name: str,
        *,
        began: float,
        ended: float,
        own: str | None = None,
        parent: str | None = None,
        attributes: dict[str, str | int] | None = None,
    ) -> None:
        """One piece of work, from then to then (seconds since 1970).

        `own` is the traceparent that was given on to others, so that their work stands below this; `parent` the one that came.
        """
        if self._spans is not None:
            self._spans.tell(name, began=began, ended=ended, own=own, parent=parent, attributes=attributes or {})

    def end(self) -> None:
        """Hand over what is left."""
        if self._spans is not None:
            self._spans.close()
            self._spans = None


traces = Traces()
"""Those of this process."""
