import pytest
import yaml

from store.errors import ConfigError
from train.config import Recipe
from train.pretrain import PretrainParams
from train.recipe import RECIPES, keyed, load_recipe


@pytest.mark.parametrize("file", sorted(RECIPES.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_recipe_loads_and_says_only_what_exists(file) -> None:
    recipe = load_recipe(file.stem)
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
    assert yaml.safe_load(file.read_text())["family"] == recipe.family


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"run.stepz": 3}, "unknown key 'run.stepz'\n  hint: did you mean 'steps'?"),
        ({"objectives.matchin.weight": 3}, "did you mean 'matching'?"),
        ({"run.steps": 0}, "run.steps: Input should be greater than 0 \\(got 0\\)"),
        ({"run.steps": "many"}, "run.steps"),
        ({"run.steps.more": 1}, "'steps' is no block"),
        ({"model.hidden": 130}, "model.hidden 130 is no multiple of model.heads 4"),
        ({"task": "pretrainin"}, "no task 'pretrainin'\n  hint: did you mean 'pretraining'?"),
        ({"settings.answers": 3}, "settings: unknown key 'answers'"),
        ({"data.accumulation": 3}, "no multiple of data.accumulation"),
        ({"objectives.contrastive.weight": 0, "objectives.matching.weight": 0, "objectives.masked_words.weight": 0,
          "objectives.grounding.weight": 0}, "every objective has weight 0"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_remedy(overrides, said) -> None:
    with pytest.raises(ConfigError, match=said):
        load_recipe("mvptr-tiny", overrides)


def test_an_unknown_recipe_is_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'mvptr-tiny'"):
        load_recipe("mvptr-tinny")


def test_the_key_holds_content_and_ranks_but_not_what_changes_no_bit() -> None:
    params = PretrainParams(recipe="mvptr-tiny")
    assert params.keyed() == PretrainParams(recipe="mvptr-tiny", overrides={"data.workers": 7}).keyed()
    assert (
        params.keyed() == PretrainParams(recipe="mvptr-tiny", overrides={"run.checkpoint_every": 7}).keyed()
    )
    assert params.keyed() != PretrainParams(recipe="mvptr-tiny", overrides={"run.seed": 7}).keyed()
    assert params.keyed() != PretrainParams(recipe="mvptr-tiny", ranks=2).keyed()
    assert keyed(load_recipe("mvptr-tiny"))["data"]["batch"] == 64


def test_a_recipe_by_path_has_the_key_of_its_content(tmp_path) -> None:
    copy = tmp_path / "mine.yaml"
    copy.write_text((RECIPES / "mvptr-tiny.yaml").read_text())
    assert PretrainParams(recipe=str(copy)).keyed() == PretrainParams(recipe="mvptr-tiny").keyed()


def test_ranks_must_divide_the_batch() -> None:
    with pytest.raises(ConfigError, match="cannot be cut into 3 ranks"):
        PretrainParams(recipe="mvptr-tiny", ranks=3).keyed()
