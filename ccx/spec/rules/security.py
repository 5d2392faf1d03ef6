"""4xx: secrets, transport, and who may call."""

from __future__ import annotations

from typing import Final

from ccx.spec.rules.info import RuleInfo, rule

SECURITY: Final[tuple[RuleInfo, ...]] = (
    rule(
        "CCX401",
        "inline-secret",
        severity="error",
        summary="A secret is written in the spec.",
        why="""A spec lives in git, where a secret is there for ever and for everyone. Write a reference to an
        environment variable or a file. If the file was ever pushed, revoke the key.""",
        bad="channels: {main: {provider: anthropic, keys: <the key itself>}}",
        good="channels: {main: {provider: anthropic, keys: {env: ANTHROPIC_API_KEY}}}",
    ),
    rule(
        "CCX402",
        "plaintext-http",
        severity="warning",
        summary="Prompts and keys travel unencrypted to another machine.",
        why="Anyone on the way can read and change them. Loopback addresses are fine.",
        bad="channels: {lab: {protocol: chat, base_url: http://llm.example.com/v1, keys: none}}",
        good="channels: {lab: {protocol: chat, base_url: https://llm.example.com/v1, keys: none}}",
    ),
    rule(
        "CCX404",
        "open-gateway",
        severity="error",
        summary="The gateway listens on a public address and no client is declared.",
        why="Whoever reaches the port could spend on the keys behind it. `ccx keys new` makes a client's key.",
        bad="server: {listen: 0.0.0.0:3000}",
        good="""
        server: {listen: 0.0.0.0:3000}
        clients: {team-a: {key: {sha256: "..."}}}
        """,
    ),
    rule(
        "CCX405",
        "shared-client-key",
        severity="error",
        summary="Two clients have the same key.",
        why="A key tells who calls; with two owners neither limits nor reports can.",
        bad="clients: {a: {key: {sha256: X}}, b: {key: {sha256: X}}}",
        good="clients: {a: {key: {sha256: X}}, b: {key: {sha256: Y}}}",
    ),
    rule(
        "CCX406",
        "empty-client-key",
        severity="error",
        summary="A client's hash is the SHA-256 of the empty text.",
        why="""It comes from hashing an unset variable. The empty key is no key; the client could never call, or
        anyone could.""",
        bad="clients: {a: {key: {sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855}}}",
        good='clients: {a: {key: {sha256: "..."}}}  # printed by: ccx keys new a',
    ),
    rule(
        "CCX407",
        "unresolved-secret",
        severity="warning",
        summary="A referenced secret is not there.",
        why="""Where the spec is checked the secrets are often absent, so this is a warning; `ccx serve` skips the key,
        and refuses to start when a secret it cannot do without is missing.""",
        bad="channels: {main: {provider: anthropic, keys: {env: ANTHROPIC_KYE}}}",
        good="channels: {main: {provider: anthropic, keys: {env: ANTHROPIC_API_KEY}}}",
    ),
    rule(
        "CCX408",
        "readable-secret-file",
        severity="warning",
        summary="Every user of the machine may read a secret file.",
        why="A key file is for the user that runs ccx: `chmod 600`.",
        bad="keys: {file: /tmp/key}  # mode 0644",
        good="keys: {file: /run/secrets/key}  # mode 0400",
    ),
    rule(
        "CCX409",
        "forbidden-header",
        severity="error",
        summary="A header that ccx itself has to control.",
        why="""Headers that authenticate come from `keys` and `auth`, those of the connection from HTTP itself. Set by
        hand they would leak a key to the wrong upstream or break the framing of requests.""",
        bad="headers: {set: {content-length: 10}}",
        good="headers: {set: {x-team: core}}",
    ),
)
