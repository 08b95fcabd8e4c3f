"""What is a report, and what does declaring one bring along?

A report answers one question of headquarters. Declaring a subclass registers it: its route, its OpenAPI entry, its CSV and workbook and its
place in the list of reports follow. Most read the cells of projections (`CellReport`); one that reads something else says how (`find`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from sqlalchemy import Connection, Table

from projections import query
from projections.measures import Measure
from projections.question import Question, grouped
from projections.source import Stored


@dataclass(frozen=True, slots=True)
class Found:
    """What a report found: a page of rows, the place where the next one begins (None at the end), and its further members."""

    rows: Sequence[Mapping[str, Any]]
    after: Sequence[Any] | None = None
    sections: Mapping[str, Any] = field(default_factory=dict)


class Report(ABC):
    """`name` is in the URL, the titles are for people; `group_by` is the default; `follows` are the projections whose cells it reads.

    `reads_stock`: what the stock writer keeps is in it, too; `by_the_clock`: the answer is another one tomorrow. `options` are further
    parameters with what they may be, the first one unless something else is asked. `beside` are columns of a row that are neither grouped
    by nor figures; `sorts`: rows are in the order of a figure. `sections` are further members of the answer, each with what it says.
    """

    name: ClassVar[str]
    title_fr: ClassVar[str] = ""
    title_en: ClassVar[str] = ""
    question: ClassVar[str]
    measures: ClassVar[tuple[Measure, ...]]
    group_by: ClassVar[tuple[str, ...]]
    follows: ClassVar[tuple[str, ...]]
    reads_stock: ClassVar[bool] = False
    by_the_clock: ClassVar[bool] = False
    options: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = ()
    beside: ClassVar[tuple[str, ...]] = ()
    sorts: ClassVar[bool] = False
    sections: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init_subclass__(cls) -> None:
        """Register what has a name. Raises TypeError when the name is taken, or a measure's name by another figure."""
        super().__init_subclass__()
        if "name" not in cls.__dict__:
            return
        if cls.name in REPORTS:
            message = f"two reports are called {cls.name}"
            raise TypeError(message)
        known = dictionary()
        for measure in getattr(cls, "measures", ()):
            if known.get(measure.name, measure) != measure:
                message = f"{cls.name} calls another figure {measure.name}"
                raise TypeError(message)
        REPORTS[cls.name] = cls()

    @abstractmethod
    def dimensions(self) -> list[str]:
        """What it can be grouped by, in the words of the request."""

    @abstractmethod
    def answerable(self, question: Question) -> bool:
        """Whether it has all that the question groups and filters by."""

    def prepare(self, connection: Connection, question: Question) -> Iterator[None]:
        """Write down what makes the answer cheap, before it; at each step the caller commits."""
        del connection, question
        return iter(())

    @abstractmethod
    def find(self, connection: Connection, question: Question) -> Found:
        """The answer. `question.limit` is the number of rows of the page."""

    def grouping(self, asked: Sequence[str]) -> list[str]:
        """The dimensions for the names asked (the report's own when none are). Raises NoSuchGroup with the name."""
        return grouped(asked, self.dimensions(), self.group_by)


REPORTS: dict[str, Report] = {}


def dictionary() -> dict[str, Measure]:
    """Every measure of every report, by name."""
    return {measure.name: measure for report in REPORTS.values() for measure in report.measures}


class CellReport(Report):
    """A report that adds up cells. `tables` go from the coarsest to the finest; `joined` is SQL that lays something beside each cell.

    `derived` are the measures that no sum of cells makes: `find` has to add them.
    """

    tables: ClassVar[tuple[Table, ...]]
    joined: ClassVar[str] = ""
    derived: ClassVar[tuple[Measure, ...]] = ()

    @property
    def added(self) -> tuple[Measure, ...]:
        """The measures that are made of sums of cells."""
        return tuple(measure for measure in self.measures if measure not in self.derived)

    def stored(self, connection: Connection, question: Question) -> Stored:
        """What the question is answered from; the connection is in one snapshot."""
        del connection, question
        return Stored(self.tables)

    def dimensions(self) -> list[str]:
        """What some of the tables know."""
        return query.dimensions(self)

    def answerable(self, question: Question) -> bool:
        """Whether some table has all of it."""
        return query.answerable(self, question)

    def find(self, connection: Connection, question: Question) -> Found:
        """A page of rows in the order of what they are grouped by."""
        return page(query.answer(connection, self, one_more(question)), question)


def one_more(question: Question) -> Question:
    """The question with one row more than the page has: it tells whether there is a next one."""
    return question if question.limit is None else replace(question, limit=question.limit + 1)


def page(rows: Sequence[Mapping[str, Any]], question: Question) -> Found:
    """The rows that were found with `one_more`, as a page."""
    if question.limit is None or len(rows) <= question.limit:
        return Found(rows)
    kept = rows[: question.limit]
    after = [question.offset + question.limit] if question.sort else [kept[-1][name] for name in question.group_by]
    return Found(kept, after)
