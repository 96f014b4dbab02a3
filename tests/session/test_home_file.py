"""What a home.toml may say, and what is told of a faulty one."""

import pytest

from nbflow.core.errors import JournalError
from nbflow.session import home_file


@pytest.fixture
def read(tmp_path):
    def read(text, **environ):
        (tmp_path / "home.toml").write_text(text)
        return home_file.read(tmp_path, environ)

    return read


def test_without_the_file_everything_is_in_the_folder(tmp_path):
    places = home_file.read(tmp_path, {})
    assert places.journal == tmp_path / "journal.sqlite"
    assert places.artifacts == tmp_path / "artifacts"


def test_each_part_may_be_elsewhere_alone(read, tmp_path):
    places = read('artifacts = "s3://team/nbflow"')
    assert places.journal == tmp_path / "journal.sqlite"
    assert places.artifacts == "s3://team/nbflow"


def test_a_path_is_from_the_folder(read, tmp_path):
    places = read('journal = "/fast/journal.sqlite"\nartifacts = "../shared"')
    assert str(places.journal) == "/fast/journal.sqlite"
    assert places.artifacts == tmp_path / "../shared"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("${env:URL}", "postgresql://ada:p%40ss@db/nbflow"),
        ("postgresql://ada:${env:PASSWORD}@db/nbflow", "postgresql://ada:p%40s%2Fs@db/nbflow"),
        ("postgresql://${env:USER}@${env:HOST}/nbflow", "postgresql://ada@db:5432/nbflow"),
        ("postgresql://db:${env:PORT}/nbflow", "postgresql://db:5432/nbflow"),
    ],
)
def test_variables_of_the_environment_are_filled_in(read, written, meant):
    places = read(
        f'journal = "{written}"',
        URL="postgresql://ada:p%40ss@db/nbflow",
        PASSWORD="p@s/s",
        USER="ada",
        HOST="db:5432",
        PORT="5432",
    )
    assert places.journal == meant


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("journal = ", "is not TOML"),
        ('jurnal = "x"', "there is no key 'jurnal'. Use journal or artifacts"),
        ("journal = 5", "journal is 5. Give it a URL or a path"),
        ('artifacts = ""', "artifacts is ''. Give it a URL or a path"),
        ('journal = "${env:ABSENT}"', "journal needs the variable ABSENT, which is not set"),
        ('journal = "${ABSENT}"', "journal has 'ABSENT' in braces. Write ${env:NAME}"),
        ('journal = "${keyring:x}"', "journal has 'keyring:x' in braces"),
    ],
)
def test_a_fault_names_file_and_key_and_what_to_do(read, tmp_path, text, told):
    with pytest.raises(JournalError) as caught:
        read(text)
    assert str(caught.value).startswith(f"{tmp_path}/home.toml")
    assert told in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "home.toml").mkdir()
    with pytest.raises(JournalError, match=r"home\.toml cannot be read"):
        home_file.read(tmp_path, {})
