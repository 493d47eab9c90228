"""Great Expectations on dataframes, in memory: nothing is written, nothing is sent."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = 3
_RESULT_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": 20}


@dataclass(frozen=True)
class Outcome:
    """What one expectation saw in one dataframe. `problem` says why it could not be asked."""

    passed: bool
    unexpected: int = 0
    examples: tuple[str, ...] = ()
    problem: str | None = None


class Validator:
    """Asks expectations of pandas dataframes. Making one imports Great Expectations, which takes seconds."""

    def __init__(self) -> None:
        # While it is imported it tells at length how it registers its own functions.
        logging.getLogger("great_expectations").setLevel(logging.WARNING)
        with warnings.catch_warnings(action="ignore"):
            import great_expectations as gx
            from great_expectations.data_context.types.base import (
                DataContextConfig,
                InMemoryStoreBackendDefaults,
                ProgressBarsConfig,
            )

        config = DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            analytics_enabled=False,
            progress_bars=ProgressBarsConfig(globally=False),
        )
        self._gx = gx
        self._source = gx.get_context(mode="ephemeral", project_config=config).data_sources.add_pandas("lake")

    def validate(
        self, table: str, frame: pd.DataFrame, expectations: list[tuple[str, dict[str, Any]]]
    ) -> list[Outcome]:
        """Ask expectations, each by Great Expectations' name and arguments, of one dataframe, in one pass."""
        suite = self._gx.ExpectationSuite(
            name=table,
            expectations=[
                {"type": name, "kwargs": arguments, "meta": {"place": place}}
                for place, (name, arguments) in enumerate(expectations)
            ],
        )
        asset = self._source.add_dataframe_asset(table)
        try:
            batch = asset.add_batch_definition_whole_dataframe("rows").get_batch({"dataframe": frame})
            with warnings.catch_warnings(action="ignore"):  # its use of pandas, which is its own matter
                answers = batch.validate(suite, result_format=_RESULT_FORMAT).results
        finally:
            self._source.delete_asset(table)
        outcomes = {_place(answer): _outcome(answer) for answer in answers}
        return [outcomes[place] for place in range(len(expectations))]


def _place(answer: Any) -> int:
    """Return which expectation an answer is to: they come in another order than they were asked."""
    return int(answer.expectation_config.meta["place"])


def _told(value: Any) -> str:
    """Return a value as a person would write it: `(0.1, 0.2)` without the names of NumPy's types."""
    if isinstance(value, tuple):
        return f"({', '.join(_told(one) for one in value)})"
    return str(value)


def _outcome(answer: Any) -> Outcome:
    problem = (answer.exception_info or {}).get("exception_message")
    if problem is None:
        # An exception in a metric comes as one entry per metric.
        raised = [e for e in (answer.exception_info or {}).values() if isinstance(e, dict)]
        problem = next((e["exception_message"] for e in raised if e.get("raised_exception")), None)
    if problem:
        return Outcome(False, problem=str(problem).splitlines()[0])
    examples = dict.fromkeys(_told(value) for value in answer.result.get("partial_unexpected_list") or ())
    return Outcome(
        bool(answer.success), int(answer.result.get("unexpected_count") or 0), tuple(sorted(examples)[:EXAMPLES])
    )
