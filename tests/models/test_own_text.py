"""The text of a run directory that a stranger may have made."""

import http.server
import os
import re
import shutil
import threading

import pytest
from typer.testing import CliRunner

from minigrad.data.texts.downloads import of_url
from minigrad.training import load_checkpoint, save_checkpoint
from models import load_run
from models.commands.cli import app

pytestmark = pytest.mark.host(reason="on a GPU the commands run in test_device_commands.py")

OPTIONS = ["--hidden-size", 6, "--batch-size", 4, "--bptt", 8, "--embedding-size", 4]
OPTIONS += ["--steps", 3, "--samples", 0]
TEXT = "the quick brown fox jumps over the lazy dog\n" * 40


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def succeeds(result):
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def asks(result, *flags):
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert all(flag in line for flag in flags), line


@pytest.fixture(scope="module")
def peace(tmp_path_factory):
    """A run, not to be changed."""
    folder = tmp_path_factory.mktemp("peace")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    (folder / "valid.txt").write_text(TEXT[:600], encoding="utf-8")
    texts = ["--text", folder / "text.txt", "--valid", folder / "valid.txt"]
    succeeds(call("train", *texts, "--out", folder / "out", *OPTIONS))
    return folder


@pytest.fixture
def run(peace, tmp_path):
    """A copy of it, whose text is where it was."""
    return shutil.copytree(peace / "out", tmp_path / "out")


def name(run, source, setting="text"):
    """Have the settings name another text, in all files that know them."""
    config, written = run / "config.toml", [source] if setting == "text" else source
    content = re.sub(rf"(?ms)^{setting} = (\[.*?^\]|[^\n]*)", "", config.read_text("utf-8"))
    config.write_text(f"{setting} = {written!r}\n{content}", encoding="utf-8")


ASKING = [["evaluate"], ["train", "--steps", 5, "--resume"]]


@pytest.mark.parametrize("command", ASKING)
class TestStrangers:
    def test_a_file_of_the_one_who_calls(self, run, tmp_path, command):
        private = tmp_path / "private.txt"
        private.write_text(TEXT.upper(), encoding="utf-8")
        name(run, str(private))
        asks(call(*command, run), "private.txt", "--text")
        private.write_text(TEXT.replace("fox", "dog"), encoding="utf-8")  # of known letters
        asks(call(*command, run), "private.txt", "--text")

    @pytest.mark.parametrize("setting", ["text", "valid", "test"])
    @pytest.mark.parametrize("kind", ["pipe", "nothing", "device"])
    def test_what_is_no_file(self, run, tmp_path, command, setting, kind):
        source = {"pipe": tmp_path / "p", "nothing": tmp_path / "n", "device": "/dev/zero"}[kind]
        if kind == "pipe":
            os.mkfifo(source)
        name(run, str(source), setting)
        asks(call(*command, run), str(source), f"--{setting}")

    def test_an_address(self, run, tmp_path, monkeypatch, command):
        monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "cache"))
        asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(TEXT.encode())

            def log_message(self, *arguments):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f"http://127.0.0.1:{server.server_address[1]}/text.txt"
            name(run, address)
            asks(call(*command, run), address, "--text")
            server.shutdown()
        assert not asked
        assert not (tmp_path / "cache").exists()
        path = of_url(address).path
        path.parent.mkdir(parents=True)
        path.write_text(TEXT, encoding="utf-8")  # it was fetched before
        succeeds(call(*command, run))


def test_a_text_that_is_named_is_taken(run, peace, tmp_path):
    for setting in ("text", "valid"):
        name(run, str(tmp_path / "nowhere.txt"), setting)
    given = ["--text", peace / "text.txt"]
    succeeds(call("evaluate", run, *given))
    asks(call("train", "--resume", run, "--steps", 5, *given), "nowhere.txt", "--valid")
    succeeds(call("train", "--resume", run, "--steps", 5, *given, "--valid", peace / "valid.txt"))
    succeeds(call("train", "--resume", run, "--steps", 7))
    assert load_run(run, "last").step == 7


def test_a_run_that_has_not_begun(run, peace, tmp_path):
    """There is nothing yet that a text could be compared with, but the run's id."""
    for file in run.glob("*.safetensors"):
        file.unlink()
    private = tmp_path / "private.txt"
    private.write_text(TEXT.upper(), encoding="utf-8")
    content = (run / "config.toml").read_text("utf-8")
    name(run, str(private))
    asks(call("train", "--resume", run), "private.txt", "--text")
    (run / "config.toml").write_text(content, encoding="utf-8")
    succeeds(call("train", "--resume", run, "--steps", 4))


def test_a_fingerprint_that_is_missing(run):
    tree = load_checkpoint(run / "model.safetensors")
    save_checkpoint(run / "model.safetensors", {**tree, "corpus": ""})
    asks(call("evaluate", run), "--text")


def test_what_is_called_by_its_name_may_differ(peace, tmp_path, monkeypatch):
    """Another Python has another documentation: that is told, and measured all the same."""
    out, text = tmp_path / "bytes", peace / "text.txt"
    succeeds(call("train", "--text", text, "--out", out, *OPTIONS, "--level", "byte"))
    name(out, "python-docs")
    monkeypatch.setattr("minigrad.data.texts.corpora.python_docs", lambda: TEXT[::-1])
    result = call("evaluate", out)
    succeeds(result)
    assert "Warning: python-docs is not the text" in result.stderr


def test_sampling_needs_no_text(run, peace):
    name(run, "http://127.0.0.1:9/nothing")
    succeeds(call("sample", run, "--length", 5))
