import pytest

from compactcli.errors import AudioError, CompactError, ConfigError, DeviceError, ManifestError, ModelError

ALL = [
    (CompactError, Exception, 1, "error"),
    (AudioError, ValueError, 1, "bad-audio"),
    (ConfigError, ValueError, 2, "bad-config"),
    (ModelError, ValueError, 2, "bad-model"),
    (DeviceError, RuntimeError, 2, "bad-device"),
    (ManifestError, ValueError, 2, "bad-manifest"),
]


@pytest.mark.parametrize(("kind", "standard", "exit_code", "code"), ALL)
def test_each_error_has_its_exit_code_and_word_and_is_caught_as_the_standard_one(kind, standard, exit_code, code):
    with pytest.raises(standard, match="a.wav is empty") as caught:
        raise kind("a.wav is empty, expected samples")
    assert isinstance(caught.value, CompactError)
    assert (caught.value.exit_code, caught.value.code) == (exit_code, code)


def test_words_are_unique_because_scripts_branch_on_them():
    assert len({code for *_, code in ALL}) == len(ALL)


def test_message_and_hint_are_kept_apart():
    error = AudioError("a.wav is empty, expected samples", hint="record it again")
    assert str(error) == error.message == "a.wav is empty, expected samples"
    assert error.hint == "record it again"
    assert AudioError("a.wav is empty").hint is None


def test_a_single_error_can_carry_a_finer_word_without_changing_its_class():
    assert AudioError("a.wav is empty", code="empty").code == "empty"
    assert AudioError("a.wav is empty").code == "bad-audio"
