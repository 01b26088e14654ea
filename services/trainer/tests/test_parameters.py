import pytest

from trainyard_trainer import parameters
from trainyard_trainer.container import JobError
from trainyard_trainer.recipes.image_classification import PARAMETERS


def test_defaults_need_nothing():
    values = parameters.read(PARAMETERS, {})
    assert values["epochs"] == 5
    assert values["mix"] == 0.5
    assert values["labels"] is None


def test_text_is_typed():
    values = parameters.read(
        PARAMETERS,
        {
            "epochs": "3",
            "learning_rate": "1e-3",
            "augment": "False",
            "image_size": "0",
            "channels": "rgb",
            "labels": '["0", "Straße"]',
            "sagemaker_submit_directory": "s3://ignored",
        },
    )
    assert values["epochs"] == 3
    assert values["learning_rate"] == 0.001
    assert values["augment"] is False
    assert values["image_size"] == 0
    assert values["channels"] == "rgb"
    assert values["labels"] == ("0", "Straße")


@pytest.mark.parametrize(
    ("name", "text", "mend"),
    [
        ("epochs", "0", "from 1 to 1000"),
        ("epochs", "2.5", "whole number"),
        ("epochs", "", "whole number"),
        ("learning_rate", "nan", "from 1e-06 to 1"),
        ("learning_rate", "inf", "from 1e-06 to 1"),
        ("mix", "1.01", "from 0 to 1"),
        ("mix", "half", "a number"),
        ("image_size", "7", "from 8 to 512, or 0 for the size of the images"),
        ("augment", "yes", "true or false"),
        ("channels", "cmyk", "auto, grey, rgb"),
        ("labels", "cat,dog", "JSON list"),
        ("labels", '["cat", "cat"]', "different names"),
        ("labels", '["cat", ""]', "JSON list"),
        ("labels", '["cat", "a\\nb"]', "one line"),
        ("labels", '{"cat": 1}', "JSON list"),
    ],
)
def test_a_refusal_names_parameter_value_and_limit(name, text, mend):
    with pytest.raises(JobError) as refusal:
        parameters.read(PARAMETERS, {name: text})
    assert str(refusal.value).startswith(f"parameter {name} is ")
    assert mend in str(refusal.value)


def test_an_unknown_name_is_refused():
    with pytest.raises(JobError, match=r"unknown parameter epoch: .*epochs"):
        parameters.read(PARAMETERS, {"epoch": "3"})


@pytest.mark.parametrize(
    "text", ["x", "[]", '{"a": 1}', '{"a": "abc"}', '{"a": "' + "G" * 64 + '"}']
)
def test_digests_are_hex_by_name(text):
    digests = parameters.Digests("manifests")
    assert digests.read('{"a": "' + "0" * 64 + '"}') == {"a": "0" * 64}
    with pytest.raises(JobError, match=r"parameter manifests is .* JSON object of SHA-256"):
        digests.read(text)
