"""The network that writes about an image or a label, on every device."""

import numpy as np
import pytest

from minigrad.testing import check_layer
from models.captioner import Captioner
from models.reading.sentence_tokens import SentenceTokens
from models.tasks.caption_writing import CaptionWriter


class TestModel:
    @pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
    @pytest.mark.parametrize("images", [True, False])
    def test_step_by_step_is_the_same_as_at_once(self, cell, images):
        """And padding, and the texts beside it, change nothing."""
        rng = np.random.default_rng(0)
        what = {"image_shape": (2, 3, 1)} if images else {"num_labels": 4}
        model = Captioner(5, **what, thing_size=3, hidden_size=6, num_layers=2, cell=cell, rng=rng)
        things = rng.random((3, 2, 3, 1)).astype(np.float32) if images else np.array([3, 0, 2])
        ids = rng.integers(5, size=(4, 3))
        at_once = model(things, ids, [2, 4, 3]).numpy()
        for n, length in enumerate([2, 4, 3]):
            state = model.start(things[n : n + 1])
            for t in range(length):
                logits, state = model.step(ids[t : t + 1, n : n + 1], state)
                np.testing.assert_allclose(logits.numpy()[0, 0], at_once[t, n], atol=1e-5)

    @pytest.mark.host(reason="the derivatives of its layers are checked on every device")
    @pytest.mark.parametrize("what", [{"image_shape": (1, 2, 2)}, {"num_labels": 3}])
    def test_its_derivatives(self, what):
        rng = np.random.default_rng(0)
        model = Captioner(3, **what, embedding_size=2, thing_size=2, hidden_size=2, rng=rng)
        things = rng.random((2, 1, 2, 2)) if "image_shape" in what else np.array([0, 2])
        check_layer(model, things, np.array([[1, 2], [0, 1]]), np.array([2, 1]))

    def test_what_is_refused(self):
        with pytest.raises(ValueError, match="cell must be one of"):
            Captioner(3, num_labels=2, cell="tanh")
        with pytest.raises(ValueError, match="either image_shape or num_labels"):
            Captioner(3)

    def test_it_writes(self):
        letters, rng = SentenceTokens.learnt("char", ["abc", "cab"]), np.random.default_rng(0)
        model = Captioner(len(letters), num_labels=2, hidden_size=5, thing_size=3, rng=rng)
        writer, things = CaptionWriter(letters, 4), np.array([0, 1])
        for texts in (
            writer.likeliest(model, things, 1, 0.0),
            writer.likeliest(model, things, 3, 0.0),
            writer.drawn(model, things, rng),
        ):
            assert [len(text) <= 4 and set(text) <= set("abc") for text in texts] == [True, True]
        assert len(set(writer.different(model, things[:1], 5, 0))) == 5
        assert model.training
