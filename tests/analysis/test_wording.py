"""Conditions in words."""

from __future__ import annotations

import pytest

from ccx.analysis.wording import say
from ccx.protocols.names import Protocol
from ccx.routing.conditions import (
    ALWAYS,
    NEVER,
    All,
    AnyOf,
    BodyField,
    ClientIn,
    Condition,
    Direct,
    Flag,
    HeaderMatches,
    ModelMatches,
    Not,
    PrefixIn,
    ProtocolIn,
    ServerTool,
    TagMatches,
    TokensIn,
)
from ccx.routing.globs import Globs


def globs(*patterns: str) -> Globs:
    return Globs.of(patterns)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (ALWAYS, "every request"),
        (NEVER, "no request"),
        (ModelMatches(globs("claude-*", "!claude-opus-*")), "claude-* except claude-opus-*"),
        (ModelMatches(globs("!gpt-*")), "any model except gpt-*"),
        (ModelMatches(globs("a", "b-*")), "a, b-*"),
        (Not(ModelMatches(globs("gpt-*"))), "any model except gpt-*"),
        (Not(ModelMatches(Globs(()))), "no model"),
        (Not(ModelMatches(globs("lab/*", "lab,*", "eu/*", "eu,*"))), "any model except channel/model"),
        (Not(ModelMatches(globs("lab/*", "lab,*", "x"))), "any model except x, channel/model"),
        (ModelMatches(globs("lab/*", "lab,*")), "channel/model for lab"),
        (ModelMatches(globs("lab/*")), "lab/*"),
        (ModelMatches(globs("")), '""'),
        (TokensIn(0, 200_000), "fewer than 200,000 tokens"),
        (TokensIn(128_000, 200_000), "128,000 to 199,999 tokens"),
        (TokensIn(128_000, None), "128,000 tokens or more"),
        (TokensIn(5, 6), "5 tokens"),
        (TokensIn(0, None), "any size"),
        (Not(TokensIn(0, None)), "no prompt to count"),
        (Flag("stream", True), "streamed"),
        (Not(Flag("tools", True)), "without tools"),
        (ClientIn(globs("team-*")), "client team-*"),
        (Not(ClientIn(globs("eval-*"))), "client not eval-*"),
        (Not(ClientIn(Globs(()))), "no client"),
        (TagMatches("region", globs("eu")), "tag region eu"),
        (Not(TagMatches("region", globs("*"))), "no tag region"),
        (HeaderMatches("x-tier", globs("gold", "!gold-old")), "header x-tier gold except gold-old"),
        (Not(HeaderMatches("x-tier", globs("gold"))), "header x-tier not gold"),
        (PrefixIn(globs("lab")), "path prefix lab"),
        (ServerTool(globs("web_search*")), "server tool web_search*"),
        (Not(ServerTool(Globs(()))), "no server tool"),
        (BodyField("a.b", globs("x*"), frozenset({3}), frozenset({True})), "body a.b x*, 3, true"),
        (Not(BodyField("a", None, frozenset({3}))), "body a not 3"),
        (Direct(), "may name channels"),
        (Not(Direct()), "may not name channels"),
        (ProtocolIn(frozenset({Protocol.CHAT, Protocol.MESSAGES})), "chat|messages"),
        (Not(ProtocolIn(frozenset({Protocol.IMAGES}))), "not images"),
        (
            All((ModelMatches(globs("a")), TokensIn(0, 9), Not(Flag("stream", True)))),
            "a, fewer than 9 tokens, not streamed",
        ),
        (
            AnyOf((ModelMatches(globs("a")), All((ModelMatches(globs("b")), TokensIn(0, 9))))),
            "a or (b, fewer than 9 tokens)",
        ),
        (
            All((AnyOf((ModelMatches(globs("a")), ClientIn(globs("c")))), TokensIn(0, 9))),
            "(a or client c), fewer than 9 tokens",
        ),
        (Not(All((ModelMatches(globs("a")), TokensIn(0, 9)))), "not (a, fewer than 9 tokens)"),
        (Not(Not(Flag("images", True))), "with images"),
    ],
)
def test_say(condition: Condition, words: str) -> None:
    assert say(condition) == words
