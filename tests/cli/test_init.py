"""`ccx init`: whatever the choice of providers, the file written is valid, compiles, and holds no key."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ccx.catalog.providers import Provider, provider, providers
from ccx.cli import init
from ccx.cli.starter import Upstream, spoken, starter
from ccx.errors import UsageError
from ccx.protocols.names import Protocol
from ccx.routing.compile import Compiled, compile_spec
from ccx.routing.decide import Decider, Decision
from ccx.routing.facts import Facts
from ccx.spec.validate import load

NAMES = [row.name for row in providers()]
SECRET = "sk-never-written-4f1d"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for row in providers():
        if row.key_env is not None:
            monkeypatch.delenv(row.key_env, raising=False)
    monkeypatch.chdir(tmp_path)


def row(name: str) -> Provider:
    found = provider(name)
    assert found is not None
    return found


def text_of(names: Iterable[str], *, keyed: bool = False, clients: Iterable[tuple[str, str]] = ()) -> str:
    rows = [row(name) for name in names]
    chosen = [Upstream(r, None, r.key_env if keyed or r.needs_key else None) for r in rows]
    return starter(chosen, tuple(clients), schema="s.json")


def compiled(text: str) -> Compiled:
    """The table of the text. Nothing may be found in it but secrets that are not set."""
    loaded = load(Path("ccx.yaml").absolute(), read=lambda _: text.encode(), environ={})
    assert [d for d in loaded.diagnostics if d.code != "CCX407"] == [], text
    assert loaded.spec is not None
    table = compile_spec(loaded.spec, locations=loaded.locations)
    assert table.diagnostics == (), text
    return table


def uncommented(text: str) -> str:
    """The file with its commented-out examples in force: those lines are YAML, all others are prose."""
    example = re.compile(
        r"^( *)# ((?: *)(?:- (?:name: |\{channel)|when: |to: \[|clients:$|team-a:$|key: |models: ).*)$"
    )
    return "\n".join(example.sub(r"\1\2", line) for line in text.splitlines()) + "\n"


def targets(table: Compiled, protocol: Protocol, model: str) -> list[str]:
    decision = Decider(table.table).decide(Facts(protocol, model))
    assert isinstance(decision, Decision)
    return [choice.channel.name for step in decision.steps for choice in step.choices]


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_one_provider(name: str, keyed: bool) -> None:
    table = compiled(text_of([name], keyed=keyed))
    assert [channel.name for channel in table.table.channels] == [name]
    for protocol in row(name).surfaces:
        assert targets(table, protocol, "any-model") == [name]


@pytest.mark.parametrize("first", NAMES)
def test_every_ordered_pair(first: str) -> None:
    for second in NAMES:
        if second == first:
            continue
        table = compiled(text_of([first, second]))
        for protocol in Protocol:
            able = [name for name in (first, second) if protocol in row(name).surfaces]
            if able:
                assert targets(table, protocol, "a-model-nobody-knows") == able


@pytest.mark.parametrize("first", NAMES)
def test_every_three(first: str) -> None:
    for others in itertools.combinations(NAMES[NAMES.index(first) + 1 :], 2):
        compiled(text_of([first, *others]))


@pytest.mark.parametrize("first", NAMES)
def test_what_is_commented_out_is_valid_too(first: str) -> None:
    for names in ([first], *([first, second] for second in NAMES[NAMES.index(first) + 1 :])):
        text = text_of(names)
        examples = uncommented(text)
        table = compiled(examples)
        assert [client.name for client in table.table.clients] == ["team-a"]
        assert "long-context" in [route.name for route in table.table.routes]
        stand_in = re.search(r"# - \{channel: (\S+), model: (\S+)\}", text)
        if stand_in is not None:
            assert stand_in[0].removeprefix("# ") in examples


def test_a_model_goes_to_whoever_makes_it_however_they_are_ordered() -> None:
    for names in itertools.permutations(["deepseek", "anthropic", "openrouter", "groq"]):
        table = compiled(text_of(names))
        assert targets(table, Protocol.MESSAGES, "claude-opus-5")[0] == "anthropic"
        assert targets(table, Protocol.MESSAGES, "deepseek-v4-pro")[0] == "deepseek"
        assert targets(table, Protocol.CHAT, "openai/gpt-oss-20b")[0] == "groq"
        assert targets(table, Protocol.CHAT, "anthropic/claude-opus-5")[0] == "openrouter"


def test_two_sellers_of_the_same_models_fail_over_to_each_other() -> None:
    table = compiled(text_of(["azure", "anthropic", "openai"]))
    assert targets(table, Protocol.RESPONSES, "gpt-5.5") == ["azure", "openai"]


def test_the_text_is_the_same_each_time() -> None:
    assert text_of(["anthropic", "openai"]) == text_of(["anthropic", "openai"])


@pytest.mark.parametrize("name", ["team-a", "12", "1e3", "on", "null", "2026-01-01", "A.b_c-9"])
def test_a_clients_name_stays_a_name(name: str) -> None:
    table = compiled(text_of(["demo"], clients=[(name, "ab" * 32)]))
    assert [client.name for client in table.table.clients] == [name]


def run(*arguments: str) -> str:
    """Runs the command without a terminal; UsageError is what `ccx` turns into a message."""
    result = CliRunner().invoke(init.app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_it_finds_providers_by_their_variables_and_never_writes_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    monkeypatch.setenv("DEEPSEEK_API_KEY", SECRET)
    monkeypatch.setenv("XAI_API_KEY", " ")  # set to nothing is not set
    said = run()
    text = Path("ccx.yaml").read_text()
    assert SECRET not in text + said
    assert "Wrote ccx.yaml: anthropic, deepseek." in said
    assert "keys: {env: ANTHROPIC_API_KEY}" in text
    assert targets(compiled(text), Protocol.MESSAGES, "new-model") == ["anthropic", "deepseek"]
    assert "export" not in said


def test_without_a_provider_it_takes_the_demo_and_says_so() -> None:
    said = run("deep.yaml")
    assert "No provider's key is in the environment: using the built-in demo upstream" in said
    assert "provider: demo" in Path("deep.yaml").read_text()
    assert "ccx validate deep.yaml" in said
    assert "ccx serve deep.yaml" in said
    for program in ("curl", "claude", "codex", "gemini"):
        assert re.search(rf"\b{program}\b", said)


def test_demo_on_request_leaves_the_keys_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    said = run("--demo")
    assert "No provider" not in said
    assert "anthropic" not in Path("ccx.yaml").read_text().replace("Anthropic", "")


def test_providers_by_name_and_alias_in_that_order_each_once() -> None:
    said = run("--provider", "gemini", "--provider", "Anthropic", "--provider", "google")
    table = compiled(Path("ccx.yaml").read_text())
    assert "Wrote ccx.yaml: google, anthropic." in said
    assert {channel.name for channel in table.table.channels} == {"google", "anthropic"}
    assert "  export GEMINI_API_KEY=…\n  export ANTHROPIC_API_KEY=…\n" in said
    assert "codex" not in said


def test_a_provider_that_does_not_exist() -> None:
    with pytest.raises(UsageError, match="there is no provider 'antropic'; there are anthropic, openai") as error:
        run("--provider", "antropic")
    assert error.value.hint == "--provider anthropic"
    assert not Path("ccx.yaml").exists()


def test_demo_and_providers_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="exclude"):
        run("--demo", "--provider", "openai")


def test_a_variable_that_two_providers_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", SECRET)
    said = run()
    assert "DASHSCOPE_API_KEY may be for qwen-cn too" in said
    assert [channel.name for channel in compiled(Path("ccx.yaml").read_text()).table.channels] == ["qwen"]


def test_a_provider_whose_address_is_not_known_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", SECRET)
    assert "AZURE_OPENAI_API_KEY is set: --provider azure takes it in" in run()
    assert "azure" not in Path("ccx.yaml").read_text()
    run("--provider", "azure", "--force")
    assert "base_url: https://YOUR-RESOURCE.openai.azure.com/openai/v1 # put yours here" in Path("ccx.yaml").read_text()


def test_a_local_server_with_a_key_in_the_environment_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    run("a.yaml", "--provider", "ollama")
    monkeypatch.setenv("OLLAMA_API_KEY", SECRET)
    run("b.yaml", "--provider", "ollama")
    assert "keys: none" in Path("a.yaml").read_text()
    assert "keys: {env: OLLAMA_API_KEY}" in Path("b.yaml").read_text()


def test_clients_get_a_key_once_and_the_file_its_hash() -> None:
    said = run("--demo", "--client", "team-a", "--client", "team-b", "--client", "team-a")
    text = Path("ccx.yaml").read_text()
    keys = dict(re.findall(r"^  (team-.): (ccx-\S{43})$", said, re.MULTILINE))
    assert keys.keys() == {"team-a", "team-b"}
    for name, key in keys.items():
        assert key not in text
        assert f'  {name}:\n    key: {{sha256: "{hashlib.sha256(key.encode()).hexdigest()}"}}' in text
    assert "-H x-api-key:$CCX_KEY" in said


def test_a_bad_client_name() -> None:
    with pytest.raises(UsageError, match="is not a client's name"):
        run("--demo", "--client", "a: {b}")
    assert not Path("ccx.yaml").exists()


def test_a_file_that_exists_is_left_alone_without_force() -> None:
    Path("ccx.yaml").write_text("mine")
    with pytest.raises(UsageError, match="exists") as error:
        run("--demo")
    assert "--force" in (error.value.hint or "")
    assert Path("ccx.yaml").read_text() == "mine"
    Path("ccx.yaml").chmod(0o600)
    run("--demo", "--force")
    assert "provider: demo" in Path("ccx.yaml").read_text()
    assert Path("ccx.yaml").stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir()) == ["ccx.yaml"]


def test_force_follows_a_link_and_keeps_it() -> None:
    Path("real.yaml").write_text("old")
    Path("ccx.yaml").symlink_to("real.yaml")
    with pytest.raises(UsageError, match="exists"):
        run("--demo")
    run("--demo", "--force")
    assert Path("ccx.yaml").is_symlink()
    assert "provider: demo" in Path("real.yaml").read_text()


def test_a_dangling_link_is_something_that_exists() -> None:
    Path("ccx.yaml").symlink_to("nowhere.yaml")
    with pytest.raises(UsageError, match="exists"):
        run("--demo")


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        run(str(tmp_path), "--demo")
    with pytest.raises(UsageError, match="there is no directory"):
        run("no/such/ccx.yaml", "--demo")
    with pytest.raises(UsageError, match="File name too long"):
        init._write(tmp_path / ("x" * 300), "text", force=False)


def test_the_modeline_names_the_schema_of_the_checkout(tmp_path: Path) -> None:
    deep = tmp_path / "checkout" / "examples" / "mine"
    deep.mkdir(parents=True)
    assert init.schema_for(deep) == init.SCHEMA_URL
    schema = tmp_path / "checkout" / "schema" / "ccx.v1.json"
    schema.parent.mkdir()
    schema.write_text("{}")
    assert init.schema_for(deep) == "../../schema/ccx.v1.json"
    assert init.schema_for(schema.parent.parent) == "schema/ccx.v1.json"
    (deep / ".git").mkdir()  # another repository: what is above it is not its own
    assert init.schema_for(deep) == init.SCHEMA_URL


def ask(monkeypatch: pytest.MonkeyPatch, *answers: str, **flags: object) -> tuple[list[str], str]:
    """What is asked on a terminal that answers so, and the file."""
    asked: list[str] = []
    left = list(answers)

    def prompt(text: str, default: str = "", show_default: bool = True) -> str:
        asked.append(text)
        return left.pop(0) or default

    monkeypatch.setattr(typer, "prompt", prompt)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    init.init(Path("ccx.yaml"), **flags)  # type: ignore[arg-type]  # the tests below pass what the command takes
    assert left == []
    return asked, Path("ccx.yaml").read_text()


def test_on_a_terminal_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    asked, text = ask(
        monkeypatch,
        "anthropik",
        " , ",
        "anthropic azure",
        "nonsense",
        "demo:",
        "https://me.openai.azure.com",
        "team-a, b",
    )
    assert asked == [*["Which, first choice first"] * 3, *["Address of azure"] * 3, "Clients to make keys for, if any"]
    table = compiled(text).table
    assert {channel.name for channel in table.channels} == {"anthropic", "azure"}
    assert "base_url: https://me.openai.azure.com\n" in text
    assert [client.name for client in table.clients] == ["b", "team-a"]


def test_on_a_terminal_enter_takes_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISTRAL_API_KEY", SECRET)
    _, text = ask(monkeypatch, "", "")
    assert "provider: mistral" in text
    assert "# clients:" in text


def test_yes_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, text = ask(monkeypatch, yes=True)
    assert asked == []
    assert "provider: demo" in text


def test_spoken_is_in_a_fixed_order() -> None:
    chosen = [Upstream(row("google")), Upstream(row("anthropic"))]
    assert spoken(chosen) == (Protocol.MESSAGES, Protocol.GEMINI)
