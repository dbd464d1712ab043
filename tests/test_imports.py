from importlib import import_module
from pkgutil import walk_packages

import pytest

import finestrec

MODULES = sorted(module.name for module in walk_packages(finestrec.__path__, "finestrec."))


@pytest.mark.parametrize("name", MODULES)
def test_every_module_can_be_imported(name: str) -> None:
    assert import_module(name).__name__ == name


def test_the_walk_found_the_package() -> None:
    assert {"finestrec.data.log", "finestrec.ranking", "finestrec.perturbation.spec"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_offers_exists(name: str) -> None:
    module = import_module(name)
    missing = [public for public in getattr(module, "__all__", []) if not hasattr(module, public)]
    assert not missing
