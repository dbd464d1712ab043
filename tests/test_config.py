"""Options: what wins, what is refused, and that a written file means the same."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finestrec.config import SECTIONS, Config, Layer, compose, setting
from finestrec.errors import OptionError
from finestrec.options import read_toml
from finestrec.stabilizers.finest import AUTHORS_PRESETS

LRUREC: Layer = {"model": {"name": "lrurec"}}


def with_settings(*texts: str) -> Config:
    return compose([LRUREC, *map(setting, texts)])


def test_model_defaults_stand_above_general_ones_and_below_given_ones() -> None:
    assert with_settings().training.betas == (0.9, 0.98)
    assert with_settings("model.name=lstm").training.betas == (0.9, 0.999)
    assert with_settings("model.name=lstm").training.weight_decay == 1e-5
    assert with_settings("training.betas=[0.5, 0.6]").training.betas == (0.5, 0.6)


def test_later_layers_win_key_by_key() -> None:
    config = compose([LRUREC, {"training": {"epochs": 3, "lr": 0.1}}, {"training": {"epochs": 4}}])
    assert (config.training.epochs, config.training.lr) == (4, 0.1)


def test_values_are_toml_or_bare_words() -> None:
    config = with_settings(
        "training.lr=1e-2",
        "finest.kinds=delete, insert",
        "split.method=leave-one-out",
        "data.user=my user",
        "data.header=false",
        "training.clip_norm=none",
        'finest.substitute="random"',
        "seed=7",
    )
    assert config.training.lr == 0.01
    assert config.finest.kinds == ("delete", "insert")
    assert config.split.method == "leave-one-out"
    assert config.data.user == "my user"
    assert config.data.header is False
    assert config.training.clip_norm is None
    assert config.finest.substitute == "random"
    assert config.seed == 7


@pytest.mark.parametrize("model", sorted(AUTHORS_PRESETS))
def test_the_authors_preset_stands_below_other_keys(model: str) -> None:
    preset = with_settings(f"model.name={model}", "finest.preset=authors").finest
    assert preset.model_dump(include=set(AUTHORS_PRESETS[model])) == AUTHORS_PRESETS[model]
    # In whatever order they are given.
    assert with_settings("finest.weight=0.5", "finest.preset=authors").finest.weight == 0.5
    with pytest.raises(OptionError, match="only preset is 'authors'"):
        with_settings("finest.preset=ours")


@given(
    epochs=st.integers(1, 1000),
    lr=st.floats(1e-12, 1e3),
    clip_norm=st.none() | st.floats(1e-3, 10),
    user=st.none() | st.text(min_size=1).filter(lambda name: name != "none"),
    seed=st.integers(0, 2**31),
)
def test_a_written_file_means_the_same(
    epochs: int, lr: float, clip_norm: float | None, user: str | None, seed: int
) -> None:
    config = compose(
        [
            LRUREC,
            {
                "seed": seed,
                "training": {"epochs": epochs, "lr": lr, "clip_norm": clip_norm},
                "data": {"user": user},
            },
        ]
    )
    layer = tomllib.loads(config.to_toml())
    assert compose([layer]) == config
    assert layer == config.to_layer()
    assert set(layer) == {"seed", *SECTIONS}


def test_differences_name_keys() -> None:
    assert with_settings("finest.k=3").differences(with_settings("seed=2")) == [
        "seed: 0 against 2",
        "finest.k: 3 against 100",
    ]
    assert with_settings().differences(with_settings()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("finest.k=0", "finest.k is 0; it should be greater than or equal to 1"),
        ("training.lr=nan", "training.lr"),
        ("training.epoch=3", "did you mean training.epochs"),
        ("model.width=3", "known are model.hidden.*model.name"),
        ("training=3", "section"),
        ("a.b.c=3", "SECTION.KEY=VALUE"),
        ("=3", "SECTION.KEY=VALUE"),
        ("epochs=3", "known are seed, data"),
        ("seed=-1", "seed is -1"),
    ],
)
def test_refusals_name_the_key(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        with_settings(text)


def test_files_that_are_no_toml(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be read"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(OptionError, match="not TOML"):
        read_toml(tmp_path / "a.toml")
    with pytest.raises(OptionError, match="--model"):
        compose([])
