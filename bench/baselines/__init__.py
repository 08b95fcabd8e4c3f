"""What would one write instead? Each file here is one such system, written as well as its author would.

All of them stand behind the very route of the pipeline's API (`bench.baselines.front`): same validation, token check, idempotency, logs
and metrics. They differ only in what accepting a sale means.
"""

from typing import Final

DATABASE_URL: Final = "BENCH_DATABASE_URL"
"""The environment variable that names a baseline's database."""
