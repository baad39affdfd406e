from pathlib import Path

import pytest

from seistomo.config import Config
from seistomo.config.document import configuration_page, field_help, keys_help
from seistomo.config.load import field_keys

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_page_in_docs_is_up_to_date():
    assert PAGE.read_text() == configuration_page(), (
        "run: python -m seistomo.config.document > docs/configuration.md"
    )


def test_page_and_help_name_every_key():
    page, text = configuration_page(), keys_help(Config.model_fields)
    for key in field_keys():
        assert f"`{key.split('.')[1]}`" in page
        assert key in text
        assert field_help(key) in text


@pytest.mark.parametrize("key", ["training.epochs", "dataset.samples", "optimizer.name"])
def test_option_help_is_the_field_description(key):
    assert field_help(key)
