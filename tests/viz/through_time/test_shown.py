"""The figure of `gradient_through_time`, and its docstring's example."""

import doctest
import warnings

import numpy as np
import pytest

from minigrad import nn, viz
from minigrad.viz.through_time import gradient


class LM(nn.Module):
    def __init__(self, kind, vocab_size=6, **options):
        rng = np.random.default_rng(0)
        self.embedding = nn.Embedding(vocab_size, 4, rng=rng)
        self.rnn = getattr(nn, kind)(4, 4, rng=rng, **options)
        self.decoder = nn.Linear(4, vocab_size, rng=rng)

    def forward(self, ids, state=None):
        output, state = self.rnn(self.embedding(ids), state)
        return self.decoder(output), state


IDS = [0, 1, 2, 3, 4, 5, 0, 1]
WORDS = ["한", "글", " ", "$x_1$", "\n", "<script>", "가장긴낱말입니다", "끝"]


def test_the_example_in_the_docstring_runs():
    results = doctest.testmod(gradient)
    assert results.attempted > 5
    assert results.failed == 0


@pytest.fixture(scope="module")
def seen():
    models = {"RNN $a$": LM("RNN"), "LSTM": LM("LSTM", num_layers=2)}
    return viz.gradient_through_time(models, IDS, labels=WORDS, window=3, max_norm=0.01)


def test_the_heat_maps_show_the_norms_on_one_scale(seen):
    images = [axes.images[0] for axes in seen.figure().axes if axes.images]
    assert len(images) == len(seen.flows) == 3
    for image, flow in zip(images, seen.flows.values(), strict=True):
        shown = image.get_array()
        np.testing.assert_allclose(shown[~shown.mask], flow.norms[np.tril_indices(flow.T)])
        assert shown.mask.sum() == flow.T * (flow.T - 1) / 2
    norms = np.concatenate([flow.norms[flow.norms > 0] for flow in seen.flows.values()])
    for image in images:
        assert image.norm.vmax == norms.max()
        assert image.norm.vmin == norms.min()


def test_the_window_s_numbers_are_written_beside_it(seen):
    titles = [axes.get_title(loc="left") for axes in seen.figure().axes]
    for name, flow in seen.flows.items():
        (title,) = [t for t in titles if t.startswith(name.replace("$", r"\$"))]
        assert f"window 3: drops {flow.dropped[2]:.1%}" in title
        assert f"error {flow.bias.errors[2]:.1%}, cosine {flow.bias.cosines[2]:.3f}" in title
        assert f"all parameters: error {flow.bias_of_all.errors[2]:.1%}" in title


def test_tokens_of_any_script_are_at_the_axes(seen):
    axes = seen.figure().axes[0]
    below = [label.get_text() for label in axes.get_xticklabels()]
    assert below == ["한", "글", "␣", "$x_1$", "↵", "<script>", "가장긴낱말입니다"]
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == "끝"


def test_it_is_saved_as_a_picture(seen, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("length", "options"), [(2, {}), (60, {"window": 200, "max_norm": 1e9})])
def test_texts_of_any_length_are_drawn(length, options):
    ids = np.random.default_rng(0).integers(0, 6, length)
    viz.gradient_through_time(LM("GRU"), ids, **options).figure().draw_without_rendering()


def test_a_model_without_any_gradient_is_drawn():
    """The logits are constant: every norm is 0, and no gradient has a direction."""
    model = LM("RNN")
    model.decoder.weight.data = np.zeros((6, 4))
    seen = viz.gradient_through_time(model, IDS, window=2, max_norm=1)
    flow = seen.flows["rnn"]
    assert (flow.norms == 0).all()
    assert np.isnan(flow.bias.cosines).all()
    assert (flow.dropped == 0).all()
    seen.figure().draw_without_rendering()
