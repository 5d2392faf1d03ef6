"""4xx: what a valid spec still gives away."""

from __future__ import annotations

from typing import Final

from ccx.spec.rules.info import RuleInfo, lint_rule

_CLIENT = 'team: {key: {sha256: "6d21164477a9c73e31be668f4b7a43ac4facb88e86af815d2e8c9604419b69d4"}}'
_OTHER = 'ops: {key: {sha256: "5a50774b80520af57df6890d2dcde401a066de76d2d9fa5f17c200cd0a0711f7"}}'
_THIRD = 'bots: {key: {sha256: "365d70c2eb14fdc940db23ae9aaf88daceb7c94c55bdf39da5626e8b1793ddca"}}'

EXPOSURE: Final[tuple[RuleInfo, ...]] = (
    lint_rule(
        "CCX403",
        "spoofable-header",
        severity="warning",
        summary="A refusal hangs on a request header, which the caller writes.",
        why="""Whoever is to be refused leaves the header out, or writes another value. Ask for the client or its tags,
        which come with the key. Where a header only chooses among targets for known clients it is told as
        information.""",
        bad="""
        routes:
          - {name: interns, when: {header: {x-team: interns}}, deny: {message: "Not for interns."}}
          - {name: default, to: [main]}
        """,
        good=f"""
        clients: {{{_CLIENT}}}
        routes:
          - {{name: interns, when: {{client: team}}, deny: {{message: "Not for this team."}}}}
          - {{name: default, to: [main]}}
        """,
    ),
    lint_rule(
        "CCX410",
        "client-without-expiry",
        severity="info",
        summary="A client's key never expires, where those of most others do.",
        why="A key that was lost works until somebody notices. Most of this spec have a last day; this one has none.",
        bad=f"""
        clients:
          {_CLIENT.replace("}}", "}, expires: 2099-12-31}")}
          {_THIRD.replace("}}", "}, expires: 2099-12-31}")}
          {_OTHER}
        """,
        good=f"""
        clients:
          {_CLIENT.replace("}}", "}, expires: 2099-12-31}")}
          {_OTHER.replace("}}", "}, expires: 2099-12-31}")}
        """,
    ),
    lint_rule(
        "CCX411",
        "wide-cors",
        severity="warning",
        summary="A gateway open to the network lets every web page call it.",
        why="""With `*` any page may use a key that it got hold of, from the browser of whoever visits it. List the
        origins of your own pages.""",
        bad=f"""
        server: {{listen: 0.0.0.0:3000, cors: ["*"]}}
        clients: {{{_CLIENT}}}
        admin: {{key: {{env: CCX_ADMIN_KEY}}}}
        """,
        good=f"""
        server: {{listen: 0.0.0.0:3000, cors: [https://app.example.com]}}
        clients: {{{_CLIENT}}}
        admin: {{key: {{env: CCX_ADMIN_KEY}}}}
        """,
    ),
    lint_rule(
        "CCX412",
        "admin-without-key",
        severity="warning",
        summary="A gateway open to the network has no key for its admin endpoints.",
        why="""Without one they answer callers on the same machine. A proxy there that does not say for whom it calls
        makes everybody such a caller, and nobody else can read metrics or status.""",
        bad=f"""
        server: {{listen: 0.0.0.0:3000}}
        clients: {{{_CLIENT}}}
        """,
        good=f"""
        server: {{listen: 0.0.0.0:3000}}
        admin: {{key: {{env: CCX_ADMIN_KEY}}}}
        clients: {{{_CLIENT}}}
        """,
    ),
    lint_rule(
        "CCX413",
        "bodies-logged",
        severity="warning",
        summary="Prompts and answers go to the request log.",
        why="""The log then holds whatever people typed: personal data, source code, secrets. `errors` writes fewer and
        is told as information.""",
        bad="telemetry: {logs: {bodies: all}}",
        good="telemetry: {logs: {bodies: none}}",
    ),
    lint_rule(
        "CCX414",
        "plaintext-redis",
        severity="warning",
        summary="Shared state travels unencrypted to another machine.",
        why="`redis://` is plain TCP: counters, and the password before them, can be read and changed on the way.",
        bad="state: {redis: {url: redis://cache.example.com:6379}}",
        good="state: {redis: {url: rediss://cache.example.com:6379}}",
    ),
    lint_rule(
        "CCX416",
        "deny-bypassed",
        severity="warning",
        summary="A refusal can be gone around by a channel's path prefix, or by naming a channel.",
        why="""Requests under `/PREFIX/v1/...` go to that channel before any route is asked, and so do those of a client
        with `direct: true` that asks for `channel/model`. A route that denies does not see them.""",
        bad="""
        channels: {main: {provider: demo, prefix: lab}}
        routes:
          - {name: no-opus, when: {model: "*opus*"}, deny: {message: "Too dear."}}
          - {name: default, to: [main]}
        """,
        good="""
        channels: {main: {provider: demo}}
        routes:
          - {name: no-opus, when: {model: "*opus*"}, deny: {message: "Too dear."}}
          - {name: default, to: [main]}
        """,
    ),
)
