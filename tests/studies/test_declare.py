"""The committed declaration, and what a declaration refuses."""

from dataclasses import replace

import pytest

from studies.declare import declared, take_seeds
from studies.sppo.cycle import Cycle
from studies.sppo.games_part import Games
from studies.sppo.study import fresh_units, reduced, styles_unit, sweeps
from studies.sppo.styles_part import Styles, settings
from windvane.core.errors import UserError
from windvane.core.schema import decode
from windvane.losses.batch import load_objective


def test_every_arm_can_run_and_the_parts_read():
    d = declared("sppo")
    for arm in d.arms.values():
        made = settings(decode(Styles, d.parts["styles"]), arm.settings, 5e-4, 1)
        objective = load_objective(made.train.objective, made.train.objective_args, gives=("slow",))
        assert made.answers == "best-worst" or objective.branches in ("group", "unpaired")
    games, cycle = decode(Games, d.parts["games"]), decode(Cycle, d.parts["cycle"]["size"])
    assert games.seeds >= 10 and set(games.games) >= {"transitive", "cycle"}
    assert cycle.iterations >= 20 and cycle.iterations * cycle.prompts + cycle.held_out <= 2016
    assert len(d.learning_rates) == 3 and len(d.seeds) == 5 and d.primary == ("sppo", "dpo")


def test_the_arms_see_the_same_and_differ_in_the_loss_alone():
    d, size = declared("sppo"), Styles(3, 256, 240, 4)
    sppo, dpo = (settings(size, d.arms[a].settings, 1e-3, 501) for a in d.primary)
    assert replace(sppo, train=dpo.train) == dpo
    assert replace(sppo.train, objective="dpo", objective_args={"beta": 0.1}) == dpo.train
    assert (sppo.judge, sppo.evaluate.judge) == ("world:styles:proxy", "world:styles:programme")


def test_equal_sweeps_and_fewer_seeds_for_secondary_arms():
    d = declared("sppo")
    chosen = {arm: {"learning_rate": 5e-4} for arm in d.arms}
    keys = [u.key for u in (*sweeps(d), *fresh_units(d, d.seeds, chosen))]
    for arm in d.arms:
        swept = [k for k in keys if k in {styles_unit(d, arm, lr, d.development_seed).key for lr in d.learning_rates}]
        assert len(swept) == 3
        assert d.fresh(arm, d.seeds) == (d.seeds[:2] if d.arms[arm].secondary else d.seeds)
    assert len(set(keys)) == len(keys) == 7 * 3 + 3 * 5 + 4 * 2 + 1 + 4 * 2
    assert set(reduced(d).arms) == set(d.primary)


def test_take_seeds():
    d = declared("sppo")
    assert take_seeds(d, None) == d.seeds and take_seeds(d, 2) == d.seeds[:2]
    for count in (0, 6):
        with pytest.raises(UserError, match="give 1 to 5"):
            take_seeds(d, count)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"primary": ("sppo", "sppo-hard")}, "sppo-hard is no arm that runs on every seed"),
        ({"primary": ("sppo", "ppo")}, "ppo is no arm"),
        ({"seeds": (111, 2)}, "without the development seed"),
        ({"seeds": (3, 3)}, "distinct"),
        ({"learning_rates": ()}, "at least one"),
    ],
)
def test_refused(change, told):
    with pytest.raises(UserError, match=told):
        replace(declared("sppo"), **change)
