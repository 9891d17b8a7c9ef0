"""Settings, from the command line, a file, or a recipe."""

import dataclasses
import tomllib
from itertools import pairwise

import numpy as np
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from minigrad import nn, optim
from models.runs.recipes import RECIPES
from models.runs.schedule import (
    expected_steps,
    fraction_done,
    rate,
    validation_is_due,
    validations_left,
)
from models.runs.settings import Settings

pytestmark = pytest.mark.host(reason="nothing is computed")


class TestSettings:
    def test_defaults_train_for_a_minute(self):
        s = Settings()
        assert (s.steps, s.epochs, s.minutes) == (1200, None, None)
        assert (s.vector_size, s.learning_rate, s.unit) == (64, 0.006, "characters")

    @pytest.mark.parametrize("recipe", [None, *RECIPES])
    def test_there_and_back(self, recipe):
        s = Settings.combined({"recipe": recipe})
        assert Settings.combined(tomllib.loads(tomli_w.dumps(s.to_dict()))) == s

    def test_later_layers_win(self):
        s = Settings.combined({"recipe": "zaremba-small", "lr": 3}, {"lr": 4, "dropout": 0.5})
        assert (s.lr, s.dropout, s.hidden_size) == (4.0, 0.5, 200)

    def test_who_says_how_long_says_it_alone(self):
        s = Settings.combined({"recipe": "zaremba-small"}, {"steps": 7})
        assert (s.steps, s.epochs) == (7, None)
        s = Settings.combined({"steps": 5}, {"epochs": 2, "minutes": 1})
        assert (s.steps, s.epochs, s.minutes) == (None, 2, 1.0)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"hidden_size": 0}, "--hidden-size must be at least 1, got 0"),
            ({"hidden_size": 2.5}, "--hidden-size must be a whole number, got 2.5"),
            ({"hidden_size": True}, "--hidden-size must be a whole number, got True"),
            ({"dropout": 1.5}, "--dropout must be at least 0 and at most 1, got 1.5"),
            ({"lr": float("nan")}, "--lr must be above 0, got nan"),
            ({"minutes": 0}, "--minutes must be above 0, got 0"),
            ({"cell": "lstn"}, "--cell must be one of rnn, lstm, gru, nnlm, got 'lstn'"),
            ({"tied": "yes"}, "--tied must be true or false, got 'yes'"),
            ({"text": []}, "--text must name a text"),
            ({"text": [1]}, "--text must be a text, got 1"),
            ({"split": [0.5, 0.6]}, "two or three parts that sum to 1, got 0.5,0.6"),
            ({"split": [1.0]}, "two or three parts"),
            ({"split": [1.5, -0.5]}, "--split must be above 0"),
            ({"init": "normal"}, "--init normal needs --init-scale"),
            ({"tied": True, "embedding_size": 0}, "--tied needs an embedding"),
            ({"recipe": "zaremba"}, "--recipe must be one of zaremba-small"),
            ({"hiden_size": 3}, "no option 'hiden_size'; is hidden_size meant"),
        ],
    )
    def test_bad_ones(self, given, message):
        with pytest.raises(ValueError, match=message):
            Settings.combined(given)

    def test_what_a_resumed_run_may_change(self):
        s = Settings(steps=10)
        assert s.changed({"steps": 20}).steps == 20
        longer = s.changed({"epochs": 3, "samples": 0})
        assert (longer.steps, longer.epochs, longer.samples) == (None, 3, 0)
        assert s.changed({"cell": "gru", "lr": None}) == s
        with pytest.raises(ValueError, match="--dropout: a run that goes on keeps its settings"):
            s.changed({"dropout": 0.5})


class TestRecipes:
    def test_sums_and_means(self):
        """The conversion that the issue, and --help, tell of."""
        s = Settings.combined({"recipe": "zaremba-small"})
        assert (s.lr, s.clip, s.bptt, s.batch_size) == (20.0, 0.25, 20, 20)
        assert "lr 20 and clip 0.25" in RECIPES["zaremba-small"].conversion
        large = Settings.combined({"recipe": "zaremba-large"})
        assert large.clip * large.bptt == pytest.approx(10)
        assert large.lr / large.bptt == pytest.approx(1)

    def test_each_tells_where_it_is_from(self):
        for name, recipe in RECIPES.items():
            assert recipe.source, name
            assert any(c.isdigit() for c in recipe.expected), name
            unknown = recipe.settings.keys() - {f.name for f in dataclasses.fields(Settings)}
            assert not unknown, name


class TestSchedule:
    def test_zaremba(self):
        """lr 1 in epochs 1 to 4, then halved in each (Zaremba et al. 2014)."""
        s = Settings.combined({"recipe": "zaremba-small"})
        rates = [rate(s, 1500 * epoch, epoch, 0.0, 1500 * 13) / 20 for epoch in range(13)]
        assert rates[:5] == [1, 1, 1, 1, 0.5]
        assert rates[12] == 0.5**9

    def test_cosine(self):
        s = Settings(steps=1000, lr=1.0)
        rates = [rate(s, step, 0, step / 1000, 1000) for step in range(1001)]
        assert rates[0] == pytest.approx(1 / 50)
        assert max(rates) == rates[50] == 1
        assert rates[1000] == pytest.approx(0.02)
        assert all(a > b for a, b in pairwise(rates[50:]))

    def test_as_schedules_of_an_optimiser(self):
        """The command goes by the clock and by epochs too, yet its curves are the library's."""
        largest, total, rise = 0.3, 40, 8
        s = Settings(steps=total, lr=largest, warmup=rise, final_lr=0.1)
        optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=largest)
        warm_up = optim.LinearLR(optimizer, 1 / rise, total_iters=rise - 1)
        cosine = optim.CosineAnnealingLR(optimizer, total - rise, eta_min=0.1 * largest)
        schedule = optim.SequentialLR(optimizer, [warm_up, cosine], [rise])
        for step in range(total + 1):
            own = rate(s, step, 0, step / total, total)
            assert own == pytest.approx(schedule.get_last_lr()[0], rel=1e-12)
            schedule.step()
        s = Settings(epochs=9, lr=largest, schedule="decay", decay=0.7)
        decay = optim.ExponentialLR(optim.SGD([nn.Parameter(np.zeros(1))], lr=largest), 0.7)
        for epoch in range(9):
            decay.step()
            assert rate(s, 5 * epoch, epoch, 0.0, 45) == decay.get_last_lr()[0]

    def test_by_the_clock(self):
        s = Settings(minutes=2.0, lr=1.0)
        assert expected_steps(s, 100) is None
        assert rate(s, 500, 3, 0.5, None) == pytest.approx(0.02 + 0.98 * 0.5)
        assert fraction_done(s, 500, 3.0, 60.0) == 0.5

    @given(
        steps=st.none() | st.integers(1, 10**6),
        epochs=st.none() | st.integers(1, 1000),
        at=st.integers(0, 10**6),
        schedule=st.sampled_from(["cosine", "constant", "decay", "plateau"]),
    )
    def test_never_above_the_largest(self, steps, epochs, at, schedule):
        s = Settings(steps=steps, epochs=epochs, schedule=schedule, lr=0.3)
        total = expected_steps(s, 77)
        done = fraction_done(s, at, at / 77, 0.0)
        assert 0 <= done <= 1
        assert 0 <= rate(s, at, at // 77, done, total) <= 0.3

    def test_whatever_ends_first(self):
        s = Settings(steps=100, epochs=2, minutes=1.0)
        assert fraction_done(s, 50, 1.8, 6.0) == pytest.approx(0.9)
        assert fraction_done(s, 50, 1.8, 60.0) == 1
        assert expected_steps(s, 10) == 20


class TestValidations:
    def steps(self, total, per_epoch, **options):
        """After which steps a run validates."""
        s, found, before = Settings(**options), [], 0.0
        for step in range(1, total + 1):
            done = step / total
            if validation_is_due(
                s, step, step % per_epoch == 0, done, before, total >= 5 * per_epoch
            ):
                found.append(step)
                before = done
        return found

    def test_after_each_epoch(self):
        assert self.steps(60, 10, epochs=6) == [10, 20, 30, 40, 50, 60]

    def test_and_each_tenth_of_a_few_epochs(self):
        assert self.steps(16, 8, epochs=2) == [2, 4, 5, 7, 8, 10, 12, 13, 15, 16]

    def test_each_tenth_of_what_is_not_counted_in_epochs(self):
        assert self.steps(1200, 4) == [*range(120, 1201, 120)]
        assert self.steps(3, 100) == [1, 2, 3]
        assert len(self.steps(10_000, 10, minutes=1.0)) == 10

    def test_as_often_as_one_likes(self):
        assert self.steps(20, 8, eval_every=7) == [7, 14, 20]

    @pytest.mark.parametrize("options", [{"schedule": "plateau"}, {"optimizer": "nt-asgd"}])
    def test_what_counts_epochs_counts_each(self, options):
        assert self.steps(20, 8, **options) == [8, 16, 20]
        assert len(self.steps(10_000, 10, minutes=1.0, **options)) == 1000

    @given(
        total=st.integers(1, 300),
        per_epoch=st.integers(1, 300),
        kind=st.sampled_from([{}, {"schedule": "plateau"}, {"optimizer": "nt-asgd"}]),
        eval_every=st.none() | st.integers(1, 50),
        at=st.floats(0, 1),
    )
    def test_how_many_are_left(self, total, per_epoch, kind, eval_every, at):
        options = {"steps": total, "eval_every": eval_every, **kind}
        step = round(at * total)
        left = len([each for each in self.steps(total, per_epoch, **options) if each > step])
        told = validations_left(Settings(**options), step, step / total, total, per_epoch)
        if total < 10 and not kind and not eval_every:  # tenths are less than a step
            assert told >= left
        else:
            assert abs(told - left) <= 1
