"""Images with labels: read, refused, split; looked at one by one; the nearest of them."""

import io
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from minigrad.testing import check_layer
from models.image_classifier import ImageClassifier
from models.reading.labelled_images import (
    in_order,
    load_image_parts,
    read_image,
    read_images,
    read_pixels,
)
from models.simpler.nearest import class_means, nearest

pytestmark = pytest.mark.host(reason="it reads files")


def images(count=40, shape=(3, 5), seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(17, size=(count, *shape)), rng.integers(4, size=count)


def saved(path, pixels, labels):
    np.savez(path, images=pixels, labels=labels)
    return path


class TestReading:
    @pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float64])
    def test_what_was_saved_is_read(self, tmp_path, kind):
        pixels, labels = images()
        found = read_images(saved(tmp_path / "a.npz", pixels.astype(kind), labels))
        np.testing.assert_array_equal(found.pixels, pixels)
        assert found.pixels.dtype == np.float32
        assert found.labels == [str(label) for label in labels]
        named = np.array(["cat", "개"] * 20)
        assert read_images(saved(tmp_path / "b.npz", pixels, named)).labels == named.tolist()

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"images": np.ones((4, 2, 2))}, "no array 'labels', but 'images'"),
            ({"images": np.ones((4, 2)), "labels": np.ones(4, int)}, r"width\), got \(4, 2\)"),
            ({"images": np.ones((4, 2, 2)), "labels": np.ones(3, int)}, r"of shape \(3,\)"),
            ({"images": np.ones((4, 2, 2)), "labels": np.ones(4)}, "got float64"),
            ({"images": np.full((2, 1, 1), np.nan), "labels": np.ones(2, int)}, "nan or inf"),
            ({"images": np.full((2, 1, 1), "x"), "labels": np.ones(2, int)}, "must be numbers"),
            ({"images": np.ones((0, 2, 2)), "labels": np.ones(0, int)}, "must be numbers"),
            ({"images": np.array([[[None]]]), "labels": np.ones(1, int)}, "pickle"),
        ],
    )
    def test_arrays_that_are_refused(self, tmp_path, arrays, message):
        np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises(ValueError, match=message) as caught:
            read_images(tmp_path / "a.npz")
        assert "a.npz" in str(caught.value)

    def test_files_of_another_kind_are_refused(self, tmp_path):
        whole = saved(tmp_path / "a.npz", *images()).read_bytes()
        single = io.BytesIO()
        np.save(single, np.ones((2, 2)))
        for content in (
            b"",
            b"no archive",
            single.getvalue(),
            whole[:-30],
            whole[:70] + whole[90:],
        ):
            (tmp_path / "a.npz").write_bytes(content)
            with pytest.raises(ValueError, match=r"a\.npz' is no \.npz file"):
                read_images(tmp_path / "a.npz")
        with pytest.raises(FileNotFoundError):
            read_images(tmp_path / "none.npz")

    def test_the_digits_of_scikit_learn(self, monkeypatch):
        """By a stand-in for it, which gives what it documents."""
        pixels, labels = images(shape=(8, 8))
        found = SimpleNamespace(images=pixels.astype(float), target=labels)
        datasets = SimpleNamespace(load_digits=lambda: found)
        monkeypatch.setitem(sys.modules, "sklearn", SimpleNamespace(datasets=datasets))
        monkeypatch.setitem(sys.modules, "sklearn.datasets", datasets)
        read = read_images("sklearn-digits")
        np.testing.assert_array_equal(read.pixels, pixels)
        assert (read.pixels.dtype, read.labels) == (np.float32, [str(label) for label in labels])

    def test_the_digits_come_with_an_extra(self, monkeypatch):
        for name in [each for each in sys.modules if each.split(".")[0] == "sklearn"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "sklearn", None)
        with pytest.raises(ModuleNotFoundError, match=re.escape('pip install ".[digits]"')):
            read_images("sklearn-digits")

    def test_numbers_come_in_their_order(self):
        assert in_order(["10", "b", "2", "a", "-1", "2"]) == ["-1", "2", "10", "a", "b"]


class TestParts:
    def test_all_images_are_in_one_part_with_their_labels(self, tmp_path):
        pixels, _ = images(60)
        labels = pixels[:, 0, 0] % 3
        path = saved(tmp_path / "a.npz", pixels, labels)
        found = load_image_parts([path], seed=1)
        assert list(found.parts) == ["train", "valid", "test"]
        together = np.concatenate([part.pixels for part in found.parts.values()])
        order = np.lexsort(together.reshape(60, -1).T)
        expected = np.lexsort(pixels.reshape(60, -1).T)
        np.testing.assert_array_equal(together[order], pixels[expected])
        for part in found.parts.values():
            assert part.labels == [str(int(image[0, 0]) % 3) for image in part.pixels]
        assert found.fingerprint == load_image_parts([path], seed=1).fingerprint
        assert found.fingerprint != load_image_parts([path], seed=2).fingerprint

    def test_parts_that_are_given(self, tmp_path):
        all_, test = (saved(tmp_path / f"{n}.npz", *images(n, seed=n)) for n in (50, 7))
        parts = load_image_parts([all_], test=test).parts
        assert [len(part.labels) for part in parts.values()] == [7, 45, 5]  # 8 : 1
        np.testing.assert_array_equal(parts["test"].pixels, images(7, seed=7)[0])

    def test_what_is_refused(self, tmp_path):
        path = saved(tmp_path / "a.npz", *images())
        other = saved(tmp_path / "b.npz", *images(shape=(3, 4)))
        with pytest.raises(ValueError, match=r"b\.npz' has \(3, 4\)"):
            load_image_parts([path], valid=other)
        one = saved(tmp_path / "one.npz", images()[0], np.ones(40, int))
        with pytest.raises(ValueError, match="one class only, '1'"):
            load_image_parts([one])
        few = saved(tmp_path / "few.npz", *images(2))
        with pytest.raises(ValueError, match="none is left for the part 'valid'"):
            load_image_parts([few])


class TestOneImage:
    def test_an_array_is_taken_as_it_is(self, tmp_path):
        np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
        found = read_image(tmp_path / "a.npy", (2, 3), 0, 16)
        np.testing.assert_array_equal(found, np.arange(6).reshape(2, 3))

    def test_a_picture_becomes_grey_and_small(self, tmp_path):
        large = np.zeros((20, 30, 3), np.uint8)
        large[:10, 10:20] = 255
        Image.fromarray(large).save(tmp_path / "a.png")
        found = read_image(tmp_path / "a.png", (2, 3), -1, 16)
        np.testing.assert_array_equal(found, [[-1, 16, -1], [-1, -1, -1]])

    def test_what_is_refused(self, tmp_path):
        np.save(tmp_path / "a.npy", np.ones((3, 2)))
        with pytest.raises(ValueError, match=r"a\.npy' must have the shape \(2, 3\), got \(3, 2\)"):
            read_image(tmp_path / "a.npy", (2, 3), 0, 1)
        (tmp_path / "b.npy").write_bytes(b"")
        with pytest.raises(ValueError, match=r"b\.npy' is no \.npy file"):
            read_image(tmp_path / "b.npy", (2, 3), 0, 1)
        (tmp_path / "c.png").write_bytes(b"no picture")
        with pytest.raises(ValueError, match=r"c\.png' is no picture"):
            read_image(tmp_path / "c.png", (2, 3), 0, 1)

    @pytest.mark.parametrize("sides", [(10, 11), (20, 20)])  # of which Pillow warns, and raises
    def test_a_picture_with_too_many_pixels_is_refused(self, sides, tmp_path, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        Image.new("1", sides).save(tmp_path / "large.png")
        with pytest.raises(ValueError, match=r"large\.png' has too many pixels, at most 100"):
            read_pixels(tmp_path / "large.png", "L")


class TestNearest:
    def test_the_nearest_and_the_means(self):
        pixels, labels = images(600)
        others = images(5, seed=1)[0]
        distances = ((others[:, None] - pixels) ** 2).sum((-1, -2))
        assert nearest(pixels, others).tolist() == distances.argmin(1).tolist()
        assert nearest(others, pixels).tolist() == distances.argmin(0).tolist()  # several tables
        means, classes = class_means(pixels[labels != 2], labels[labels != 2])
        assert classes.tolist() == [0, 1, 3]
        np.testing.assert_allclose(means[2], pixels[labels == 3].mean(0))


class TestModel:
    @pytest.mark.parametrize("options", [("whole", 4, 2), ("rows", 2, 1, "lstm")])
    def test_its_derivatives(self, options):
        rng = np.random.default_rng(0)
        model = ImageClassifier(3, 2, 3, *options, rng=rng)
        check_layer(model, rng.normal(size=(2, 3, 2)))

    def test_it_is_the_function_that_it_says(self):
        model = ImageClassifier(2, 3, 4, "whole", 5, 2, rng=np.random.default_rng(0))
        x = np.random.default_rng(1).normal(size=(7, 2, 3)).astype(np.float32)
        h = x.reshape(7, 6)
        for layer in model.hidden:
            h = np.maximum(h @ layer.weight.numpy().T + layer.bias.numpy(), 0)
        expected = h @ model.output.weight.numpy().T + model.output.bias.numpy()
        np.testing.assert_allclose(model(x).numpy(), expected, rtol=1e-5, atol=1e-6)

    def test_rows_are_read_from_the_top(self):
        """A cell that forgets nothing of the last row and all of the others sees that row alone."""
        model = ImageClassifier(3, 2, 4, "rows", 5, cell="rnn", rng=np.random.default_rng(0))
        model.recurrent.weight_hh_l0.data[:] = 0
        x = np.random.default_rng(1).normal(size=(2, 3, 2)).astype(np.float32)
        x[1, 2] = x[0, 2]
        a, b = model(x).numpy()
        np.testing.assert_array_equal(a, b)
        x[1] = x[0]
        x[1, 2] += 1
        a, b = model(x).numpy()
        assert abs(a - b).max() > 1e-3

    def test_what_is_refused(self):
        for options in ({"read": "columns"}, {"cell": "tree"}, {"num_layers": 0}):
            (name,) = options
            with pytest.raises(ValueError, match=f"ImageClassifier: {name} must be"):
                ImageClassifier(2, 2, 2, **options)
