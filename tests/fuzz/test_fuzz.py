"""A short run of the fuzz target: both cores handle arguments alike."""

import runpy
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TARGET = runpy.run_path(str(Path(__file__).parent / "target.py"))


@pytest.mark.slow
def test_both_cores_handle_arguments_alike(cores):
    both = TARGET["sides"](cores)

    @settings(
        max_examples=3000, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.binary(min_size=60, max_size=60))
    def agree(data):
        TARGET["check"](both, data)

    agree()
