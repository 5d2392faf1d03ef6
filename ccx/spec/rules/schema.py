"""1xx, first half: files, YAML, and the shape of the document."""

from __future__ import annotations

from typing import Final

from ccx.spec.rules.info import RuleInfo, rule

SCHEMA: Final[tuple[RuleInfo, ...]] = (
    rule(
        "CCX100",
        "yaml-syntax",
        severity="error",
        summary="The file is not valid YAML.",
        why="A file that cannot be read as YAML has no meaning. ccx reads YAML 1.2.",
        bad="channels: {main: {provider: anthropic}",
        good="channels: {main: {provider: anthropic}}",
    ),
    rule(
        "CCX101",
        "unknown-key",
        severity="error",
        summary="A key that the spec language does not have at this place.",
        why="""A misspelt key that is passed over in silence is a setting that one believes in and that does nothing.
        Where a required key is missing and an unknown one resembles it, both are one finding.""",
        bad="""
        channels:
          main: {provder: anthropic, keys: none}
        """,
        good="""
        channels:
          main: {provider: anthropic, keys: none}
        """,
    ),
    rule(
        "CCX102",
        "duplicate-name",
        severity="error",
        summary="Two things of one kind have the same name.",
        why="""Names are identities: logs, metrics, tests and plans refer to them. A channel, client or model is
        declared once over all included files, and each route has a name of its own.""",
        bad="""
        routes:
          - {name: default, to: [a]}
          - {name: default, to: [b]}
        """,
        good="""
        routes:
          - {name: opus, when: {model: claude-opus-*}, to: [a]}
          - {name: default, to: [b]}
        """,
    ),
    rule(
        "CCX104",
        "impossible-range",
        severity="error",
        summary="A range of numbers that holds none.",
        why="A condition that nothing can fulfil makes its route unreachable. `a..b` holds a and does not hold b.",
        bad='when: {input_tokens: "200k..60k"}',
        good='when: {input_tokens: "60k..200k"}',
    ),
    rule(
        "CCX105",
        "bad-glob",
        severity="error",
        summary="A pattern with something else than `*` as wildcard, or an empty one.",
        why="""`*` stands for any text and is the only wildcard; that is what makes it possible to compare two
        routing tables exactly. `?` and `[...]` would be read literally by one tool and not by another.""",
        bad='when: {model: "claude-[34]-*"}',
        good='when: {model: ["claude-3-*", "claude-4-*"]}',
    ),
    rule(
        "CCX106",
        "yaml-1-1-ism",
        severity="error",
        summary="A value that YAML 1.1 reads otherwise than YAML 1.2.",
        why="""ccx reads YAML 1.2: `yes`, `no`, `on` and `off` are text, `012` is twelve and `1_000` is text. Other
        tools still read them as booleans, octal and a thousand. Write what all read alike.""",
        bad="channels: {main: {provider: demo, http2: yes}}",
        good="channels: {main: {provider: demo, http2: true}}",
    ),
    rule(
        "CCX107",
        "duplicate-key",
        severity="error",
        summary="A mapping has the same key twice.",
        why="YAML forbids it, and tools differ on which value wins.",
        bad="""
        channels:
          main: {provider: anthropic, provider: openai}
        """,
        good="""
        channels:
          main: {provider: anthropic}
        """,
    ),
    rule(
        "CCX108",
        "missing-key",
        severity="error",
        summary="A required key is absent.",
        why="Without it the entry has no meaning.",
        bad="routes: [{to: [main]}]",
        good="routes: [{name: default, to: [main]}]",
    ),
    rule(
        "CCX109",
        "wrong-type",
        severity="error",
        summary="A value of the wrong kind: text where a number belongs, a list where a mapping belongs.",
        why='ccx does not guess what was meant: `"3"` is text and `3` is a number.',
        bad='routes: [{name: a, to: [main], failover: {attempts: "3"}}]',
        good="routes: [{name: a, to: [main], failover: {attempts: 3}}]",
    ),
    rule(
        "CCX110",
        "bad-value",
        severity="error",
        summary="A value of the right kind that is not legal here.",
        why="""The set of legal values is closed, or the text has a form: a duration has a unit, a name has no spaces.
        The message lists what is legal.""",
        bad="channels: {main: {provider: demo, timeouts: {idle: 30}}}",
        good="channels: {main: {provider: demo, timeouts: {idle: 30s}}}",
    ),
    rule(
        "CCX111",
        "bad-encoding",
        severity="error",
        summary="The file is not plain UTF-8 text.",
        why="""A spec is UTF-8 without a byte order mark and without control characters, so that every tool and every
        review shows the same text.""",
        bad="# saved as UTF-16 by an editor",
        good="# saved as UTF-8",
    ),
    rule(
        "CCX112",
        "unsupported-yaml",
        severity="error",
        summary="A feature of YAML that the spec language leaves out.",
        why="""Tags, directives, several documents in one file, and keys that are not text have no use in a spec and
        many surprises. Anchors, aliases and merge keys (`<<`) may be used. There is no templating.""",
        bad="channels: {main: {keys: {env: !vault ANTHROPIC}}}",
        good="channels: {main: {keys: {env: ANTHROPIC_API_KEY}}}",
    ),
    rule(
        "CCX113",
        "unreadable-file",
        severity="error",
        summary="The spec or an included file cannot be read.",
        why="""An include that finds nothing is a mistake in its path far more often than a wish. Paths are relative
        to the file that includes.""",
        bad="include: [chanels/*.yaml]",
        good="include: [channels/*.yaml]",
    ),
    rule(
        "CCX114",
        "include-cycle",
        severity="error",
        summary="A file includes itself, directly or through others, or is included twice.",
        why="Each file is read once and has one place in the order of routes.",
        bad="include: [ccx.yaml]  # in ccx.yaml",
        good="include: [channels.yaml]",
    ),
    rule(
        "CCX115",
        "limit-exceeded",
        severity="error",
        summary="The spec is larger or deeper than ccx reads.",
        why="""Limits keep a broken or hostile file from taking the process down: 16 MiB a file, 1,000 files, 64 levels
        of nesting, 100,000 values made by aliases.""",
        bad="a: [[[[[[]]]]]]  # and so on, 65 levels deep",
        good="a: []",
    ),
    rule(
        "CCX116",
        "unknown-version",
        severity="error",
        summary="The spec is written in a version of the language that this ccx does not read.",
        why="A later version may give the same words another meaning, so the version is checked before all else.",
        bad="version: ccx/v2",
        good="version: ccx/v1",
    ),
    rule(
        "CCX117",
        "missing-version",
        severity="error",
        summary="The spec does not say in which version of the language it is written.",
        why="With a version written down the language can grow without changing what an old file means.",
        bad="channels: {main: {provider: demo}}",
        good="""
        version: ccx/v1
        channels: {main: {provider: demo}}
        """,
    ),
    rule(
        "CCX118",
        "section-twice",
        severity="error",
        summary="A section that may be written once is written in two files.",
        why="""Channels, clients, models, routes and tests add up over all included files. Every other section has
        one place, so that what holds can be read there.""",
        bad="""
        # ccx.yaml
        include: [more.yaml]
        server: {listen: 127.0.0.1:3000}
        # more.yaml
        server: {max_body: 10MiB}
        """,
        good="""
        # ccx.yaml
        include: [more.yaml]
        server: {listen: 127.0.0.1:3000, max_body: 10MiB}
        """,
    ),
)
