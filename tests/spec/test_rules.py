"""The registry: codes and names are unique, families are kept, and the examples of the documentation hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ccx.routing.compile import compile_spec
from ccx.spec.diagnostics import Span, name_path, pointer
from ccx.spec.rules import RULES, RuleInfo
from ccx.spec.validate import Loaded, extended, load

FRAGMENT = re.compile(r"\*\*(Bad|Good)\*\*\n\n```yaml\n(.*?)\n```", re.DOTALL)
NOT_YAML = {"CCX100", "CCX111"}


def test_codes_and_names_are_unique_and_well_formed() -> None:
    assert len({info.name for info in RULES.values()}) == len(RULES)
    for code, info in RULES.items():
        assert code == info.code
        assert re.fullmatch(r"CCX[1-9]\d\d", code)
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", info.name)


@pytest.mark.parametrize("info", RULES.values(), ids=lambda info: info.code)
def test_documentation_has_what_why_bad_and_good(info: RuleInfo) -> None:
    assert info.summary.endswith(".")
    assert "**Why.**" in info.doc
    fragments = dict(FRAGMENT.findall(info.doc))
    assert set(fragments) == {"Bad", "Good"}
    if info.code not in NOT_YAML:
        YAML(typ="safe", pure=True).load(fragments["Good"])


def shown(fragment: str, folder: Path) -> set[str]:
    """The codes found in an example, completed to a spec with the files that it may include."""
    (folder / "channels").mkdir()
    for name in ("channels/a.yaml", "channels.yaml", "more.yaml"):
        (folder / name).write_text("{}")
    main, _, more = fragment.partition("# more.yaml\n")
    if more:
        (folder / "more.yaml").write_text(more)
    head = "" if "version:" in main else "version: ccx/v1\n"
    tail = "" if re.search(r"^(channels|upstreams):", main, re.MULTILINE) else "\nchannels: {main: {provider: demo}}\n"
    (folder / "ccx.yaml").write_text(head + main + tail)
    loaded = load(folder / "ccx.yaml", environ={"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k", "AZURE_KEY": "k"})
    return {one.code for one in check_compiled(loaded).diagnostics}


def check_compiled(loaded: Loaded) -> Loaded:
    found = () if loaded.spec is None else compile_spec(loaded.spec, locations=loaded.locations).diagnostics
    return extended(loaded, found)


PARTIAL = {"CCX104", "CCX105", "CCX222", "CCX409"}
"""Examples that show a part of a route or channel only."""
STAND_INS = {"CCX111", "CCX115", "CCX117", "CCX405", "CCX408"}
"""Examples that cannot be written as they are: other encodings, file modes, lengths, hashes."""


@pytest.mark.parametrize(
    "info",
    [info for info in RULES.values() if info.finder == "validate"],  # tests/lint looks at the linter's
    ids=lambda info: info.code,
)
def test_the_examples_of_the_documentation_hold(info: RuleInfo, tmp_path: Path) -> None:
    fragments = dict(FRAGMENT.findall(info.doc))
    for name in ("Bad", "Good"):
        (tmp_path / name).mkdir()
    assert info.code not in shown(fragments["Good"], tmp_path / "Good")
    if info.code not in PARTIAL | STAND_INS:
        assert info.code in shown(fragments["Bad"], tmp_path / "Bad")


def test_paths_in_words_and_as_pointers() -> None:
    assert pointer(("a/b", 0, "c~d")) == "/a~1b/0/c~0d"
    assert pointer(()) == ""
    assert name_path(("routes", 3, "when", "model")) == "routes[3].when.model"


@pytest.mark.parametrize("numbers", [(0, 1, 1, 1), (1, 0, 1, 1), (2, 1, 1, 9), (1, 3, 1, 2)])
def test_a_span_goes_forward(numbers: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="not a span"):
        Span(*numbers)
