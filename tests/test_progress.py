"""Messages and bars go to standard error, and quiet means quiet."""

from seistomo.progress import bar, quietly, say, set_quiet, warn


def test_quiet_silences_messages_and_bars_but_no_warnings(capsys):
    with quietly():
        say("hello")
        for _ in bar(range(3), description="count"):
            pass
        warn("careful")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "warning: careful\n"


def test_everything_else_is_on_standard_error(capsys):
    set_quiet(False)
    say("hello")
    for _ in bar(range(3), description="count"):
        pass
    out, err = capsys.readouterr()
    assert out == ""
    assert "hello" in err
    assert "count: 100%" in err
