"""What does the OpenAPI document say of the files that can be imported?"""

from typing import Any

from api.document import HEADERS, REFS
from api.problem_docs import problem
from api.security import SCHEME_NAME
from schemas.imports import IMPORTS, MOST_ROWS, ImportKind

IMPORTED: dict[str, Any] = {
    "type": "object",
    "required": ["import_id", "status", "rows", "events", "ignored_columns"],
    "properties": {
        "import_id": {"type": "string", "format": "uuid"},
        "status": {"enum": ["valid", "accepted", "recorded"]},
        "dry_run": {"type": "boolean"},
        "rows": {"type": "integer", "minimum": 1},
        "events": {"type": "integer", "minimum": 1, "description": "One a product or store; one for 500 rows of counts of a store."},
        "event_id": {"type": "string", "format": "uuid", "description": "The last event: when it is recorded, all are."},
        "ignored_columns": {"type": "array", "items": {"type": "string"}},
    },
}


def import_entry(kind: ImportKind) -> dict[str, Any]:
    """What is said of a kind of file besides its problems: its columns are the properties of a row."""
    answers = {
        "200": "With `dry_run`: the file is valid, and nothing was accepted",
        "201": "Every row is recorded; only with Prefer: wait",
        "202": "Every row was accepted by the broker; Location leads to the last event",
    }
    return {
        "description": f"A CSV file in UTF-8 of at most {MOST_ROWS} rows, with commas or semicolons and a header row; whole or not at all.",
        "requestBody": {
            "required": True,
            "content": {"text/csv": {"schema": {"$ref": REFS.format(model=kind.row.__name__)}, "example": _example(kind)}},
        },
        "responses": {
            **{status: {"description": words, "content": {"application/json": {"schema": IMPORTED}}} for status, words in answers.items()},
            "422": problem("`invalid_import`: every fault with its row and column; with `Accept: text/csv` a file to correct"),
        },
        "parameters": [
            {"name": "dry_run", "in": "query", "schema": {"type": "boolean", "default": False}, "description": "Only check."},
            {
                "name": "format",
                "in": "query",
                "schema": {"enum": ["json", "csv"]},
                "description": "`csv`: faults come as a file, the faulty rows with what is wrong beside them.",
            },
            {
                "name": "rows",
                "in": "query",
                "schema": {"enum": ["faulty", "all"]},
                "description": "`all`: that file has the other rows too.",
            },
            *HEADERS,
        ],
        "security": [{SCHEME_NAME: []}],
    }


def import_shapes() -> dict[str, dict[str, Any]]:
    """The rows of every kind of file, by name."""
    return {kind.row.__name__: _row_shape(kind) for kind in IMPORTS}


def _example(kind: ImportKind) -> str:
    rows = ([column.french for column in kind.columns], [column.example for column in kind.columns])
    return "".join(f"{';'.join(row)}\n" for row in rows)


def _row_shape(kind: ImportKind) -> dict[str, Any]:
    return {
        "title": kind.row.__name__,
        "description": "One row of the file. Columns go by their French or English names; others are ignored, and named in the answer.",
        "type": "object",
        "required": [column.french for column in kind.columns if column.required],
        "properties": {
            column.french: {"type": "string", "description": f"or `{column.english}`", "examples": [column.example]}
            for column in kind.columns
        },
    }
