"""One loaded parser for all tests of parsing: loading costs more than a test."""

from __future__ import annotations

import pytest

from parse.parser import Parser


@pytest.fixture(scope="session")
def parser() -> Parser:
    return Parser()
