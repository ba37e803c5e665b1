"""The input files, as the report names them."""

from lorb_adapters.pretraining.corpus.files import BuildFiles
from lorb_adapters.pretraining.corpus.sentences import sha256


def test_files_of_one_name_in_two_folders_keep_their_digests(tmp_path):
    """Files with equal names in different folders get enough parent folders in their names to stay apart."""
    names = ("a/part.txt", "b/part.txt", "en/c/more.txt", "de/c/more.txt", "one.txt", "x/lists.jsonl", "y/lists.jsonl")
    paths = [tmp_path / name for name in names]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"sentence {number}\n")
    digests = BuildFiles(tuple(paths[:5]), confusions=(paths[5],), dev=(paths[6],)).sha256()
    assert digests == {name: sha256(path) for name, path in zip(names, paths, strict=True)}
