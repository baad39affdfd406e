import pytest

from seistomo.dataset.exchange.folder import folder_written_whole, write_marker
from seistomo.errors import InputError


def write(path, content, overwrite=False):
    with folder_written_whole(path, overwrite) as folder:
        write_marker(folder, {})
        (folder / "content").write_text(content)
        assert not (path / "content").exists() or (path / "content").read_text() != content


def test_a_folder_appears_whole(tmp_path):
    write(tmp_path / "new" / "out", "first")
    assert (tmp_path / "new" / "out" / "content").read_text() == "first"
    write(tmp_path / "new" / "out", "second", overwrite=True)
    assert (tmp_path / "new" / "out" / "content").read_text() == "second"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", "first")
    assert (tmp_path / "out" / "content").exists()


def test_a_folder_of_others_is_never_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years")
    with pytest.raises(InputError, match="is not an exported folder"):
        write(tmp_path / "out", "new", overwrite=True)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years"
