"""Is what is there at the start left out of every later collection?"""

import json
import subprocess
import sys

PROGRAM = """
import gc, json
from infra import garbage
kept = [[number] for number in range(50_000)]
garbage.settle()
print(json.dumps([gc.get_freeze_count(), len(gc.get_objects()), gc.get_threshold()[0]]))
"""


def test_what_is_there_when_work_begins_is_not_looked_at_again() -> None:
    said = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True).stdout
    frozen, looked_at, young = json.loads(said)
    assert frozen > 50_000
    assert looked_at < 1_000
    assert young == 10_000
