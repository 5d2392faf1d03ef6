"""Names and ids within what Messages allows, and back.

Law: ids are changed by a reversible rule that needs no memory, because the same id comes back in a later request, maybe
at another worker. Names of tools are changed by a table made from one request, since its answer is all that needs it;
the rule is deterministic, so that a history of calls keeps its names from turn to turn, and the prompt cache its hits.

Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools (names `^[a-zA-Z0-9_-]{1,128}$`); ids
outside `^[a-zA-Z0-9_-]+$` are refused by https://platform.claude.com/docs/en/api/messages.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

from ccx.protocols.ir import Request, ServerTool
from ccx.protocols.names import Protocol
from ccx.protocols.tool_names import NameRule, ToolNames

MAX_NAME: Final = 128
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_RULE: Final = NameRule(re.compile(r"[a-zA-Z0-9_-]{1,128}"), re.compile(r"[^a-zA-Z0-9_-]"), MAX_NAME)
_WRAPPED = "ccxid_"


def legal_id(id_: str) -> str:
    """An id that Messages allows; the same where it is allowed already. Reversed by `original_id`."""
    if _ID.fullmatch(id_) and not id_.startswith(_WRAPPED):
        return id_
    return _WRAPPED + base64.urlsafe_b64encode(id_.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def original_id(id_: str) -> str:
    """What `legal_id` was given."""
    if not id_.startswith(_WRAPPED):
        return id_
    body = id_[len(_WRAPPED) :]
    try:
        found = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode("utf-8", "surrogatepass")
    except (ValueError, binascii.Error):
        return id_
    return found if legal_id(found) == id_ else id_


def tool_names(request: Request) -> ToolNames:
    """The names of a request's tools. Anthropic has tools that it declares and the client runs (computer, bash), so
    their names too are called."""
    return ToolNames(request, _RULE, _anthropic_names(request))


def _anthropic_names(request: Request) -> Iterator[str]:
    for tool in request.tools:
        if isinstance(tool, ServerTool) and tool.native.protocol is Protocol.MESSAGES:
            name = tool.native.data.get("name")
            if isinstance(name, str):
                yield name
