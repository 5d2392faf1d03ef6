"""Dialects are data that agree with the presets and with themselves."""

from __future__ import annotations

from dataclasses import fields

import pytest

from ccx.catalog.providers import providers
from ccx.protocols.dialects import _ROWS, GENERIC, Dialect, dialect
from ccx.protocols.names import Protocol

RANK = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def test_every_preset_that_speaks_chat_has_a_row() -> None:
    speaking = {row.dialect for row in providers() if Protocol.CHAT in row.surfaces}
    assert speaking <= set(_ROWS)


def test_an_unknown_vendor_has_the_generic_row() -> None:
    assert dialect("nobody") is GENERIC


@pytest.mark.parametrize("row", _ROWS.values(), ids=lambda row: row.name)
def test_rows_agree_with_themselves(row: Dialect) -> None:
    assert dialect(row.name) is row
    # Efforts rise, and the one that means off is among them.
    assert [RANK.index(level) for level in row.efforts] == sorted(RANK.index(level) for level in row.efforts)
    assert row.effort_off is None or row.effort_off in row.efforts
    assert row.media <= {"image", "document", "audio", "video"}
    assert row.tool_choices <= {"auto", "none", "required", "named"}
    # What a row says of a field means nothing where the vendor refuses it.
    assert row.max_tokens not in row.unsupported
    assert row.reasoning_missing is None or row.reasoning_back != "never"
    assert "required" in row.tool_choices or not row.allowed_tools
    assert not {"messages", "model", "stream", "tools"} & row.unsupported


def test_a_row_differs_from_the_generic_one() -> None:
    for row in _ROWS.values():
        if row is not GENERIC:
            assert any(getattr(row, one.name) != getattr(GENERIC, one.name) for one in fields(Dialect))
