"""JSON Patch as RFC 6902 has it, with the examples of its appendix and what may go wrong."""

from typing import Any

import pytest

from operations.json_patch import BadPatch, patched

FOO: dict[str, Any] = {"foo": "bar"}


@pytest.mark.parametrize(
    ("document", "operation", "expected"),
    [
        (FOO, {"op": "add", "path": "/baz", "value": "qux"}, {"foo": "bar", "baz": "qux"}),
        ({"foo": ["bar", "baz"]}, {"op": "add", "path": "/foo/1", "value": "qux"}, {"foo": ["bar", "qux", "baz"]}),
        ({"foo": ["bar"]}, {"op": "add", "path": "/foo/-", "value": ["abc"]}, {"foo": ["bar", ["abc"]]}),
        ({"baz": "qux", "foo": "bar"}, {"op": "remove", "path": "/baz"}, FOO),
        ({"foo": ["bar", "qux", "baz"]}, {"op": "remove", "path": "/foo/1"}, {"foo": ["bar", "baz"]}),
        ({"baz": "qux"}, {"op": "replace", "path": "/baz", "value": "boo"}, {"baz": "boo"}),
        ({"a": {"b": 1}, "c": {}}, {"op": "move", "from": "/a/b", "path": "/c/d"}, {"a": {}, "c": {"d": 1}}),
        ({"foo": ["all", "cows", "eat"]}, {"op": "move", "from": "/foo/0", "path": "/foo/2"}, {"foo": ["cows", "eat", "all"]}),
        ({"a": [1], "b": {}}, {"op": "copy", "from": "/a", "path": "/b/c"}, {"a": [1], "b": {"c": [1]}}),
        ({"/": 9, "~1": 10}, {"op": "test", "path": "/~01", "value": 10}, {"/": 9, "~1": 10}),
        ({"a": 1}, {"op": "test", "path": "/a", "value": 1.0}, {"a": 1}),
        ({"": 1}, {"op": "replace", "path": "/", "value": 2}, {"": 2}),
        (FOO, {"op": "replace", "path": "", "value": [1]}, [1]),
        (FOO, {"op": "add", "path": "/foo", "value": None}, {"foo": None}),
        (FOO, {"op": "move", "from": "/foo", "path": "/foo"}, FOO),
        (None, {"op": "add", "path": "", "value": {"a": 1}}, {"a": 1}),
    ],
)
def test_an_operation_does_what_the_standard_says(document: Any, operation: dict[str, Any], expected: Any) -> None:  # noqa: ANN401 - JSON
    assert patched(document, [operation]) == expected


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ({"op": "add", "path": "/a/b", "value": 1}, "no_such_place"),
        ({"op": "add", "path": "/list/4", "value": 1}, "no_such_place"),
        ({"op": "add", "path": "/list/01", "value": 1}, "no_such_place"),
        ({"op": "add", "path": "/foo/x", "value": 1}, "no_such_place"),
        ({"op": "remove", "path": "/nothing"}, "no_such_place"),
        ({"op": "remove", "path": "/list/3"}, "no_such_place"),
        ({"op": "remove", "path": "/list/²"}, "no_such_place"),
        ({"op": "remove", "path": ""}, "whole_document"),
        ({"op": "replace", "path": "/nothing", "value": 1}, "no_such_place"),
        ({"op": "replace", "path": "/foo"}, "no_value"),
        ({"op": "move", "from": "/deep", "path": "/deep/er"}, "into_itself"),
        ({"op": "copy", "from": "/nothing", "path": "/a"}, "no_such_place"),
        ({"op": "test", "path": "/foo", "value": "other"}, "test_failed"),
        ({"op": "test", "path": "/one", "value": True}, "test_failed"),
        ({"op": "test", "path": "/list", "value": [1, 2]}, "test_failed"),
        ({"op": "shake", "path": "/foo"}, "unknown_operation"),
        ({"op": "add", "path": "foo", "value": 1}, "bad_pointer"),
        ({"op": "move", "path": "/foo"}, "bad_pointer"),
        ({"path": "/foo"}, "unknown_operation"),
    ],
)
def test_what_cannot_be_done_is_told_with_its_number_and_nothing_is_done(operation: dict[str, Any], why: str) -> None:
    document = {"foo": "bar", "list": [1, 2, 3], "deep": {}, "one": 1}
    with pytest.raises(BadPatch) as told:
        patched(document, [{"op": "add", "path": "/new", "value": 1}, operation])
    assert (told.value.place, told.value.why) == (1, why)
    assert document == {"foo": "bar", "list": [1, 2, 3], "deep": {}, "one": 1}


def test_what_was_put_in_is_not_changed_by_what_follows() -> None:
    value: dict[str, Any] = {"n": 1}
    assert patched({}, [{"op": "add", "path": "/a", "value": value}, {"op": "replace", "path": "/a/n", "value": 2}]) == {"a": {"n": 2}}
    assert value == {"n": 1}
