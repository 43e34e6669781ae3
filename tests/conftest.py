"""What several test files share: a cache of their own, smoke weights, and one-line errors."""

from contextlib import contextmanager

import pytest

import minisora
from minisora import recipes


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """No test reads or writes the user's cache or signing key."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("MINISORA_CACHE", str(folder))
        patch.setenv("MINISORA_CONFIG", str(tmp_path_factory.mktemp("config")))
        yield folder


@pytest.fixture(scope="session")
def weights(cache, tmp_path_factory):
    """A folder in which both smoke presets were trained, with their cards."""
    folder = tmp_path_factory.mktemp("weights")
    for kind in ("vae", "dit"):
        assert recipes.run(kind, "smoke", 0, folder, "cpu", False, [])
    return folder


@pytest.fixture(scope="session")
def trained(weights, tmp_path_factory):
    """A folder with all smoke models."""
    folder = tmp_path_factory.mktemp("judged")
    for kind in ("vae", "dit"):
        (folder / f"{kind}.safetensors").write_bytes((weights / f"{kind}.safetensors").read_bytes())
    for kind in ("judge", "captioner"):
        assert recipes.run(kind, "smoke", 0, folder, "cpu", False, [])
    return folder


@pytest.fixture(scope="session")
def sora(weights):
    return minisora.load(weights, "cpu")


@pytest.fixture
def refuses():
    """Expect an error of one line that holds these words."""

    @contextmanager
    def expect(*words, error=ValueError):
        with pytest.raises(error) as caught:
            yield
        text = str(caught.value)
        assert text and "\n" not in text
        assert all(word in text for word in words), text

    return expect
