"""`--verify-signature`: a listing is believed only if a key of the user's choice vouches for all of its files."""

from __future__ import annotations

from orchestrator.core.plan import ResolvedModel
from orchestrator.core.refs import as_word
from orchestrator.core.trust import Signatory
from orchestrator.errors import TrustError, UsageError
from orchestrator.resolve.question import Question
from orchestrator.signatures.vouching import judge


def refuse_unsigned(question: Question, model: ResolvedModel, key: Signatory) -> None:
    """Raise TrustError unless the registry has a signature by `key` over exactly the files of the listing.

    Raises what the registry says, too.
    """
    pinned, ref = model.pinned, model.ref
    if question.request.offline:
        raise UsageError("--verify-signature asks the registry for its signatures, and --offline asks no server")
    if pinned is None or pinned.site is None:
        raise TrustError(
            f"{ref} cannot be verified by a signature: only registries have signatures of models; nothing was fetched",
            hint="pull it without --verify-signature, or from a registry: oci:// or reg://",
        )
    site = pinned.site.registry.partition("://")[2]
    files = {file.path: file.digest for file in model.tree.files}
    verdict = judge(question.sites.signatures(pinned), key, files, site, is_whole=model.is_whole)
    if verdict.is_valid:
        return
    if not verdict.reasons:
        raise TrustError(
            f"{site} has no signature of {ref}, and one by {key.name} is demanded; nothing was fetched",
            hint=f"sign it, if it is yours: glm-aria push DIR {as_word(ref)} --sign KEYFILE",
            source=site,
        )
    more = f" (and {len(verdict.reasons) - 1} more)" if verdict.reasons[1:] else ""
    raise TrustError(
        f"no signature of {ref} at {site} is one of its files by {key.name}: {verdict.reasons[0]}{more}; "
        "nothing was fetched",
        hint="find out who pushed it, and who signed it: do not use it before",
        source=site,
        details=verdict.reasons,
    )
