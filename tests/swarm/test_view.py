"""How small files become bundles."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.files import Digest
from orchestrator.swarm.units import LEAST_UNIT
from orchestrator.swarm.view import MOST_BUNDLE, MOST_IN_BUNDLE, bundles_of


def digest(number: int) -> Digest:
    return Digest.parse(f"sha256:{number:064x}")


@given(st.lists(st.integers(min_value=0, max_value=2 * LEAST_UNIT), max_size=60))
def test_each_small_file_is_in_one_bundle_and_each_other_in_none(sizes: list[int]) -> None:
    files = [(digest(number), size) for number, size in enumerate(sizes)]
    bundles, rest = bundles_of("t", files)
    bundled = [each for bundle in bundles for each in bundle.digests]
    assert bundled == [each for each, size in files if size < LEAST_UNIT]
    assert list(rest) == [file for file in files if file[1] >= LEAST_UNIT]
    assert [bundle.index for bundle in bundles] == list(range(len(bundles)))
    assert all(bundle.digests and bundle.size <= MOST_BUNDLE for bundle in bundles)
    of = dict(files)
    assert all(bundle.size == sum(of[each] for each in bundle.digests) for bundle in bundles)


def test_a_bundle_has_a_bounded_number_of_files() -> None:
    bundles, _ = bundles_of("t", [(digest(number), 1) for number in range(MOST_IN_BUNDLE + 1)])
    assert [len(bundle.digests) for bundle in bundles] == [MOST_IN_BUNDLE, 1]
